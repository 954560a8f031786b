"""Stopping a run in every way there is, and going on."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from conftest import ROOT, SCRIPTS, TINY, assert_same_run, start

import common

every_script = pytest.mark.parametrize("script", SCRIPTS)


@every_script
def test_resumed_in_the_middle_equals_undisturbed(script, command_line, tmp_path):
    assert command_line(script, *TINY, "--out", "whole")[0] == 0
    assert command_line(script, *TINY[2:], "--steps", 3, "--out", "parts")[0] == 0
    code, _, err = command_line(script, *TINY, "--out", "parts", "--resume")
    assert code == 0, err
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_resuming_a_finished_run_says_so(command_line, tmp_path):
    assert command_line("fgan", *TINY)[0] == 0
    before = (tmp_path / "out/fgan/checkpoint.pt").read_bytes()
    code, out, _ = command_line("fgan", *TINY, "--resume")
    assert code == 0
    assert "6 steps already" in out
    assert (tmp_path / "out/fgan/checkpoint.pt").read_bytes() == before


def test_resuming_another_run_is_refused(command_line, tmp_path):
    assert command_line("fgan", *TINY)[0] == 0
    for script, flags, words in [
        ("fgan", ("--divergence", "kl"), "--divergence gan"),
        ("began", ("--out", "out/fgan"), "written by fgan.py, not began.py"),
        ("fgan", ("--out", "nowhere"), "there is no nowhere/checkpoint.pt"),
    ]:
        code, _, err = command_line(script, *TINY[2:], "--steps", 9, "--resume", *flags)
        assert code == 1
        assert words in err
        assert err.count("\n") == 1
    assert not (tmp_path / "nowhere").exists()


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


def wait_for(path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_and_says_how_to_go_on(number, code, command_line, tmp_path, data_dir):
    flags = ("--data-dir", data_dir, "--out", "my run", "--lr", "1e-3", "--batch-size", 8)
    process = start("fgan.py", "--steps", 10**6, *flags, cwd=tmp_path)
    wait_for(tmp_path / "my run" / "log.csv")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    step = int(re.search(r"stopped after step (\d+)", out)[1])
    assert common.read_checkpoint(tmp_path / "my run", "fgan", "cpu")["step"] == step
    command = re.search(r"go on with: (.*)", out)[1]
    assert "'my run'" in command
    resumed = command.replace("python ", f"{sys.executable} ", 1).replace("1000000", str(step + 3))
    assert subprocess.run(resumed, shell=True, cwd=tmp_path, capture_output=True, timeout=60).returncode == 0
    assert command_line("fgan", "--steps", step + 3, *flags[:3], "whole", *flags[4:], data=False)[0] == 0
    assert_same_run(tmp_path / "whole", tmp_path / "my run")


# Trainings that another process may kill at any moment, many times over, without starting Python anew each time.
KILLABLE = """
import importlib, os, sys
sys.path.insert(0, {root!r})
import matplotlib.figure, torch  # so that the children need not
torch.set_num_threads(1)
import common
for line in sys.stdin:
    script, out, data_dir, steps = line.rstrip().split("\\t")
    module = importlib.import_module(script)
    child = os.fork()
    if child == 0:
        resume = os.path.exists(os.path.join(out, "checkpoint.pt"))
        module.train(module.Hyperparameters(
            steps=int(steps), batch_size=8, out=out, data_dir=data_dir, resume=resume, overwrite=not resume, seed=3,
            checkpoint_every=5, sample_every=7, log_every=3, device="cpu"))
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def killable():
    """A process that trains when it is told to."""
    words = [sys.executable, "-c", KILLABLE.format(root=str(ROOT))]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield server
    server.stdin.close()
    server.wait()


@every_script
def test_killed_at_random_moments_and_resumed(script, killable, command_line, tmp_path, data_dir):
    """SIGKILL, five times per script; then the run is let finish and compared with one left in peace."""
    steps = 40
    rng, kills, folder = random.Random(script), 0, tmp_path / "run"

    def start_training() -> int:
        killable.stdin.write(f"{script}\t{folder}\t{data_dir}\t{steps}\n")
        killable.stdin.flush()
        return next_number()

    def next_number() -> int:
        """What the server says: a child's number, then how it ended. The child's own lines go by."""
        while True:
            line = killable.stdout.readline()
            assert line, "the server has ended"
            if line.strip().isdecimal():
                return int(line)

    while kills < 5:
        child = start_training()
        before = latest(folder)
        end = time.monotonic() + 60
        while latest(folder) == before and time.monotonic() < end:  # let it get on by one checkpoint, then …
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        killed = next_number() == signal.SIGKILL
        kills += killed
        if (folder / "checkpoint.pt").exists():
            with zipfile.ZipFile(folder / "checkpoint.pt") as archive:
                assert archive.testzip() is None
        if not killed:  # it was done before the signal: start over
            (folder / "checkpoint.pt").unlink()
    start_training()
    assert next_number() == 0
    module_flags = ("--steps", steps, "--batch-size", 8, "--checkpoint-every", 5, "--sample-every", 7, "--log-every", 3)
    code, _, err = command_line(script, *module_flags, "--seed", 3, "--device", "cpu", "--out", "whole")
    assert code == 0, err
    assert_same_run(tmp_path / "whole", folder)


def latest(folder) -> int:
    try:
        return (folder / "checkpoint.pt").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@every_script
def test_sampling(script, command_line, tmp_path):
    assert command_line(script, *TINY)[0] == 0
    folder = tmp_path / "out" / script
    files = {}
    for seed in (0, 0, 1):
        code, _, err = command_line(script, "--sample", 120, "--sample-seed", seed, "--data-dir", "nowhere", data=False)
        assert code == 0, err
        with np.load(folder / "samples.npz") as archive:
            assert archive.files == ["arr_0"]
            files.setdefault(seed, []).append(archive["arr_0"])
    assert files[0][0].shape == (120, 28, 28, 1)
    assert files[0][0].dtype == np.uint8
    assert (files[0][0] == files[0][1]).all()
    assert (files[0][0] != files[1][0]).any()
    assert not (tmp_path / "nowhere").exists()


def test_hyperparameters_of_the_samples_are_those_of_the_run(command_line, tmp_path):
    assert command_line("dcgan", *TINY, "--image-size", 32, "--channels", 3, "--width", 4, "--z-dim", 7)[0] == 0
    assert command_line("dcgan", "--sample", 3)[0] == 0
    with np.load(tmp_path / "out/dcgan/samples.npz") as archive:
        assert archive["arr_0"].shape == (3, 32, 32, 3)


def test_progress_in_a_pipe_is_short(tmp_path, data_dir):
    process = start("fgan.py", "--steps", 300, "--data-dir", data_dir, cwd=tmp_path)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0
    assert len(re.split(r"[\r\n]+", err.strip())) <= 5
