"""A run takes its folder, and nothing that lies there is lost."""

import os
from pathlib import Path

import pytest
from conftest import TINY, start, wait_for

import common
from workshop.run_folder import take_folder


def test_running_twice_keeps_the_first_run(command_line, tmp_path):
    assert command_line("dcgan", *TINY)[0] == 0
    first = (tmp_path / "out/dcgan/checkpoint.pt").read_bytes()
    code, out, _ = command_line("dcgan", *TINY, "--seed", 1)
    assert code == 0
    assert "out/dcgan.1" in out
    assert (tmp_path / "out/dcgan.1/checkpoint.pt").read_bytes() == first
    assert command_line("dcgan", *TINY, "--overwrite")[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir()) == ["dcgan", "dcgan.1"]


def test_a_folder_that_is_no_run_is_left_alone(command_line, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "log.csv").write_text("precious")
    code, _, err = command_line("dcgan", *TINY, "--out", "thesis", "--overwrite")
    assert code == 1
    assert "thesis holds something" in err
    assert (tmp_path / "thesis" / "log.csv").read_text(encoding="utf-8") == "precious"


def test_an_out_that_can_not_be_written(command_line, tmp_path):
    (tmp_path / "file").write_text("x")
    for out in ("file", "file/run"):
        code, _, err = command_line("dcgan", *TINY, "--out", out)
        assert code == 1
        assert err.strip().count("\n") == 0
        assert "choose another" in err
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        code, _, err = command_line("dcgan", *TINY, "--out", "locked/run")
        assert code == 1
        assert "locked" in err


def test_two_runs_in_one_folder(command_line, tmp_path, data_dir):
    first = start("fgan.py", "--steps", 10**6, "--data-dir", data_dir, "--out", "run", cwd=tmp_path)
    try:
        wait_for(tmp_path / "run" / "log.csv")
        for flags in ((), ("--resume",)):
            code, _, err = command_line("fgan", *TINY, "--out", "run", *flags)
            assert code == 1
            assert "another run is writing into run" in err or "there is no run/checkpoint.pt" in err
    finally:
        first.kill()
        first.communicate()
    assert command_line("fgan", *TINY, "--out", "run")[0] == 0  # a killed run leaves no lock behind


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_in_the_folder_one_stands_in(overwrite, tmp_path, monkeypatch):
    """--out . : a new run is welcome, but one that is there is neither moved nor deleted under one's feet."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    take_folder(Path(), b"{}", False, overwrite).release()
    (tmp_path / "here/log.csv").write_text("precious", encoding="utf-8")
    with pytest.raises(common.UserError, match="is where you stand"):
        take_folder(Path(), b"{}", False, overwrite)
    assert (tmp_path / "here/log.csv").read_text(encoding="utf-8") == "precious"


def test_a_run_that_can_not_be_moved(tmp_path, monkeypatch):
    """As on Windows, while another program has a file in it open."""
    take_folder(tmp_path / "run", b"{}", False, False).release()

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(common.UserError, match="can't be moved: Permission denied"):
        take_folder(tmp_path / "run", b"{}", False, False)
