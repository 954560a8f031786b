"""Ctrl-C, SIGTERM and SIGKILL at any moment."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from conftest import ROOT, SCRIPTS, assert_same_run, small, start, wait_for

from workshop import checkpoints
from workshop.signals import agree_to_stop, end_by, signals_noted

every_script = pytest.mark.parametrize("script", SCRIPTS)


@pytest.mark.skipif(os.name == "nt", reason="on Windows no process can send another a signal that it may handle")
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
    assert checkpoints.read_checkpoint(tmp_path / "my run", "fgan", "cpu")["step"] == step
    command = re.search(r"go on with: (.*)", out)[1]
    assert "'my run'" in command
    resumed = command.replace("python ", f"{sys.executable} ", 1).replace("1000000", str(step + 3))
    assert subprocess.run(resumed, shell=True, cwd=tmp_path, capture_output=True, timeout=60).returncode == 0
    assert command_line("fgan", "--steps", step + 3, *flags[:3], "whole", *flags[4:], data=False)[0] == 0
    assert_same_run(tmp_path / "whole", tmp_path / "my run")


# Trainings that another process may kill at any moment, many times over, without starting Python anew each time.
KILLABLE = """
import importlib, json, os, sys
sys.path.insert(0, {root!r})
import matplotlib.figure, torch  # so that the children need not
torch.set_num_threads(1)
import common
for line in sys.stdin:
    script, out, data_dir, steps, more = line.rstrip().split("\\t")
    module = importlib.import_module(script)
    child = os.fork()
    if child == 0:
        resume = os.path.exists(os.path.join(out, "checkpoint.pt"))
        module.train(module.Hyperparameters(
            steps=int(steps), batch_size=8, out=out, data_dir=data_dir, resume=resume, overwrite=not resume, seed=3,
            checkpoint_every=5, sample_every=7, log_every=3, device="cpu", **json.loads(more)))
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def killable():
    """A process that trains when it is told to."""
    words = [sys.executable, "-c", KILLABLE.format(root=str(ROOT))]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    yield server
    server.stdin.close()
    server.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it starts its trainings by os.fork")
@every_script
def test_killed_at_random_moments_and_resumed(script, killable, command_line, tmp_path, data_dir):
    """SIGKILL, five times per script; then the run is let finish and compared with one left in peace."""
    steps = 40
    rng, kills, folder = random.Random(script), 0, tmp_path / "run"
    names = [flag.removeprefix("--").replace("-", "_") for flag in small(script)[::2]]
    more = dict(zip(names, small(script)[1::2]))

    def start_training() -> int:
        killable.stdin.write(f"{script}\t{folder}\t{data_dir}\t{steps}\t{json.dumps(more)}\n")
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
    code, _, err = command_line(script, *module_flags, *small(script), "--seed", 3, "--device", "cpu", "--out", "whole")
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
