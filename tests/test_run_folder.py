"""A run takes its folder, and nothing that lies there is lost."""

import os
import signal
import threading
from pathlib import Path

import filelock
import pytest
import torch
from conftest import TINY, small, wait_for

import common
import fgan
from training.record import take_folder


def test_running_twice_keeps_the_first_run(command_line, tmp_path):
    assert command_line("dcgan", *TINY, *small("dcgan"))[0] == 0
    first = (tmp_path / "out/dcgan/checkpoint.pt").read_bytes()
    code, out, _ = command_line("dcgan", *TINY, *small("dcgan"), "--seed", 1)
    assert code == 0
    assert str(Path("out/dcgan.1")) in out
    assert (tmp_path / "out/dcgan.1/checkpoint.pt").read_bytes() == first
    assert command_line("dcgan", *TINY, *small("dcgan"))[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir()) == ["dcgan", "dcgan.1", "dcgan.2"]


def test_a_folder_that_is_no_run_is_left_alone(command_line, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "log.csv").write_text("precious")
    code, _, err = command_line("dcgan", *TINY, *small("dcgan"), "--out", "thesis")
    assert code == 1
    assert "thesis holds something" in err
    assert (tmp_path / "thesis" / "log.csv").read_text(encoding="utf-8") == "precious"


def test_an_out_that_can_not_be_written(command_line, tmp_path):
    (tmp_path / "file").write_text("x")
    for out in ("file", "file/run"):
        code, _, err = command_line("dcgan", *TINY, *small("dcgan"), "--out", out)
        assert code == 1
        assert err.strip().count("\n") == 0
        assert "choose another" in err
    if getattr(os, "geteuid", int)() != 0:  # root may write anywhere, and Windows has other rules
        (tmp_path / "locked").mkdir(mode=0o500)
        code, _, err = command_line("dcgan", *TINY, *small("dcgan"), "--out", "locked/run")
        assert code == 1
        assert "locked" in err


def test_two_runs_in_one_folder(forked, command_line, tmp_path, data_dir):
    first = forked.start("fgan.py", "--steps", 10**6, "--data-dir", data_dir, "--out", "run", cwd=tmp_path)
    try:
        wait_for(tmp_path / "run" / "log.csv")
        code, _, err = command_line("fgan", *TINY, *small("fgan"), "--out", "run")
        assert code == 1
        assert "another run is writing into run" in err
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert command_line("fgan", *TINY, *small("fgan"), "--out", "run")[0] == 0  # a killed run leaves no lock behind


def test_a_run_in_the_folder_one_stands_in(tmp_path, monkeypatch):
    """--out . : a new run is welcome, but one that is there is not moved under one's feet."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    take_folder(Path(), b"{}", False).release()
    (tmp_path / "here/log.csv").write_text("precious", encoding="utf-8")
    with pytest.raises(common.UserError, match="is where you stand"):
        take_folder(Path(), b"{}", False)
    assert (tmp_path / "here/log.csv").read_text(encoding="utf-8") == "precious"


def test_a_run_that_can_not_be_moved(tmp_path, monkeypatch):
    """As on Windows, while another program has a file in it open."""
    take_folder(tmp_path / "run", b"{}", False).release()

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(common.UserError, match="can't be moved: Permission denied"):
        take_folder(tmp_path / "run", b"{}", False)


def in_a_thread(function) -> list:
    """What a function gives, or raises, in another thread: to a lock that is as good as another process."""
    found = []

    def call() -> None:
        try:
            found.append(function())
        except common.UserError as error:
            found.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return found


def test_all_names_of_a_folder_have_one_lock(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/hyperparameters.json").write_text("{}", encoding="utf-8")  # an earlier run
    try:
        (tmp_path / "link").symlink_to("run", target_is_directory=True)
    except OSError:
        pytest.skip("this system does not let us make a link")
    lock = take_folder(tmp_path / "link", b"{}", False)
    assert (tmp_path / "run.1").is_dir()
    assert (tmp_path / "link").is_symlink()
    for name in ("run", "link", "run/samples/.."):
        for resume in (False, True):
            (said,) = in_a_thread(lambda name=name, resume=resume: take_folder(tmp_path / name, b"{}", resume))
            assert "another run is writing into" in said
    lock.release()
    assert in_a_thread(lambda: take_folder(tmp_path / "link", b"{}", True).release()) == [None]


def test_a_run_that_failed_gives_its_folder_back(tmp_path, data_dir, monkeypatch):
    """Whether it ended inside run.steps() or in the loop's body: a notebook keeps the error, and with it the run."""
    settings = {"batch_size": 8, "data_dir": data_dir, "out": str(tmp_path / "run"), "device": "cpu"}
    monkeypatch.setattr(fgan, "generator_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(common.UserError, match="loss_G is nan") as kept:
        fgan.train(fgan.Hyperparameters(steps=4, log_every=2, **settings))
    assert in_a_thread(lambda: take_folder(tmp_path / "run", b"{}", True).release()) == [None]
    monkeypatch.setattr(fgan, "generator_loss", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as kept_too:
        fgan.train(fgan.Hyperparameters(steps=4, **settings))
    monkeypatch.undo()
    fgan.train(fgan.Hyperparameters(steps=4, **settings))
    assert (tmp_path / "run/samples.png").exists()
    assert kept.tb is not None
    assert kept_too.tb is not None


@pytest.mark.parametrize(
    "error", [OSError(30, "Read-only file system"), NotImplementedError("FileSystem does not appear to support flock")]
)
def test_a_place_where_nothing_can_be_locked(error, command_line, monkeypatch):
    def refuse(self, **_keywords):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    code, _, err = command_line("fgan", *TINY, *small("fgan"), "--out", "run")
    assert code == 1
    assert f"run can't be locked: {error.args[-1]}: choose another --out" in err
    assert err.count("\n") == 1


def test_a_start_that_failed_does_not_block_the_folder(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(common.UserError, match="No space left"):
            take_folder(tmp_path / "run", b"{}", False)
    (tmp_path / "run/.hyperparameters.json.123.part").write_text("{", encoding="utf-8")  # as SIGKILL would leave it
    take_folder(tmp_path / "run", b"{}", False).release()
    assert (tmp_path / "run/samples").is_dir()


def test_links_in_a_circle(tmp_path, command_line):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    code, out, err = command_line("fgan", *TINY, *small("fgan"), "--out", "a")
    assert code in (1, 2)
    assert "Traceback" not in out + err
