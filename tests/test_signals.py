"""Ctrl-C, SIGTERM and SIGKILL at any moment."""

import os
import random
import re
import shlex
import signal
import time
import zipfile

import pytest
from conftest import LESSONS, SCRIPTS, assert_same_run, small, wait_for
from forked import Child

from training import earlier
from training.processes import agree_to_stop, end_by, signals_noted

# BatchNorm and Adam; BEGAN's controller; and a user's own. test_checkpoints.py resumes every script
KILLED = [script for script in SCRIPTS if script in ("began", "dcgan") or script not in LESSONS]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_and_says_how_to_go_on(number, code, forked, command_line, tmp_path, data_dir):
    flags = ("--data-dir", data_dir, "--out", "my run", "--lr-G", "1e-3", "--batch-size", 8, "--log-every", 5)
    flags += small("fgan")
    process = forked.start("fgan.py", "--steps", 10**6, *flags, cwd=tmp_path)
    wait_for(tmp_path / "my run" / "log.csv")
    os.kill(process.pid, number)
    ended, out, err = process.wait()
    assert ended == code, err
    assert "Traceback" not in err
    step = int(re.search(r"stopped after step (\d+)", out)[1])
    assert earlier.read_checkpoint(tmp_path / "my run", "fgan")["step"] == step
    command = re.search(r"go on with: (.*)", out)[1]
    assert "'my run'" in command
    python, *words = shlex.split(command.replace("1000000", str(step + 3)))
    assert python == "python"
    assert forked.start(*words, cwd=tmp_path).wait()[0] == 0
    assert command_line("fgan", "--steps", step + 3, *flags[:3], "whole", *flags[4:], data=False)[0] == 0
    assert_same_run(tmp_path / "whole", tmp_path / "my run")


@pytest.mark.parametrize("script", KILLED)
def test_killed_at_random_moments_and_resumed(script, forked, command_line, tmp_path, data_dir):
    """SIGKILL, four times per script; then the run is let finish and compared with one left in peace."""
    rng, kills, folder = random.Random(script), 0, tmp_path / "run"
    flags = ("--steps", 40, "--batch-size", 8, "--checkpoint-every", 5, "--sample-every", 7, "--log-every", 3)
    flags += ("--seed", 3, "--device", "cpu", "--data-dir", data_dir, *small(script))

    def start_training() -> Child:
        begun = (folder / "checkpoint.pt").exists()
        return forked.start(f"{script}.py", *flags, "--out", "run", *["--resume"] * begun, cwd=tmp_path)

    while kills < 4:
        child = start_training()
        before = latest(folder)
        end = time.monotonic() + 60
        done = folder / "training.gif"
        while latest(folder) == before and not done.exists() and time.monotonic() < end:  # one checkpoint more
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(child.pid, signal.SIGKILL)
        code, _, err = child.wait()
        killed = code == -signal.SIGKILL
        kills += killed
        if (folder / "checkpoint.pt").exists():
            with zipfile.ZipFile(folder / "checkpoint.pt") as archive:
                assert archive.testzip() is None
        assert killed or code == 0, err
        if done.exists() or not killed:  # it was done before the signal: start over
            (folder / "checkpoint.pt").unlink(missing_ok=True)
            done.unlink(missing_ok=True)
    code, _, err = start_training().wait()
    assert code == 0, err
    code, _, err = command_line(script, *flags, "--out", "whole", data=False)
    assert code == 0, err
    assert_same_run(tmp_path / "whole", folder)


def latest(folder) -> int:
    try:
        return (folder / "checkpoint.pt").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def test_the_first_signal_is_noted_the_second_acts():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    with signals_noted() as noted:
        signal.raise_signal(signal.SIGINT)
        assert noted == [signal.SIGINT]
        assert agree_to_stop(noted) == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # and outside all is as before
        signal.raise_signal(signal.SIGINT)
    assert agree_to_stop([]) == 0
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_how_a_stopped_run_ends(number, kind):
    with pytest.raises(kind) as ended:
        end_by(number)
    assert kind is KeyboardInterrupt or ended.value.code == 143
