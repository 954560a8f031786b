"""The benchmarks measure what they say: the scripts' own loops in three surroundings, and their operations."""

import functools
import importlib
import math
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
from conftest import LESSONS, ROOT

import common
from benchmarks import correlation, figures, measuring, speed
from benchmarks.in_use import InUse
from training.ema import EMA
from training.files import UserError

COMMANDS = sorted(p.stem for p in (ROOT / "benchmarks").glob("*.py") if "def main()" in p.read_text(encoding="utf-8"))


def test_every_command_is_listed_and_has_its_help(monkeypatch, capsys):
    import benchmarks

    listed = ("correlation", "diff", "fault_injection", "faults", "figures", "pictures", "processes")
    listed += ("quality", "speed")
    assert tuple(COMMANDS) == listed
    for name in COMMANDS:
        assert f"python -m benchmarks.{name} " in benchmarks.__doc__
    for name in COMMANDS:
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        with pytest.raises(SystemExit) as stop:
            importlib.import_module(f"benchmarks.{name}").main()
        assert stop.value.code == 0
        assert f"usage: python -m benchmarks.{name}" in capsys.readouterr().out


def test_the_diff_of_two_lessons_is_of_code_alone():
    def diff(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "benchmarks.diff", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")

    lines = diff("dcgan", "wgan.py").stdout.splitlines()
    assert 20 <= sum(line[0] in "+-" for line in lines) <= 70
    assert "+    return d_fake.mean() - d_real.mean()" in lines
    assert not [line for line in lines if "arxiv" in line or "\033" in line]  # no text, and no colour in a pipe
    wrong = diff("dcgan", "wgna")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "wgna" in wrong.stderr


def test_a_loop_is_measured_in_a_process_of_its_own(data_dir, monkeypatch):
    monkeypatch.setattr(speed, "KINDS", ("loop",))
    rates = speed.measure("fgan", speed.Options(data_dir=data_dir, steps=50, repeats=1))
    assert rates.keys() == {"loop"}
    assert len(rates["loop"]) == 1
    assert rates["loop"][0] > 0


def every_tenth(init):
    """An EMA that is brought up to date every tenth step, whatever its decay."""

    def constructor(self, original, decay):
        init(self, original, decay)
        self.every = 10

    return constructor


@pytest.mark.parametrize("kind", speed.KINDS)
@pytest.mark.parametrize("script", LESSONS)
def test_what_stands_around_a_loop(script, kind, data_dir, monkeypatch):
    """The EMA is part of the loop alone. Afterwards all is as it was."""
    kept = common.Run, EMA.update
    averaged, turns = [], []
    monkeypatch.setattr(torch, "_foreach_lerp_", lambda *arguments: averaged.append(arguments))
    monkeypatch.setattr(speed, "TURN", 5)
    monkeypatch.setattr(EMA, "__init__", every_tenth(EMA.__init__))
    module = importlib.import_module(script)
    few = {"n_G": 4, "n_D": 4, "head_start": 2, "width": 4, "hidden": 16, "G_hidden": 16, "D_hidden": 16}
    quick = {name: value for name, value in few.items() if hasattr(module.Hyperparameters, name)}
    monkeypatch.setattr(module, "Hyperparameters", functools.partial(module.Hyperparameters, **quick))

    class Parent:
        def send(self, seconds):
            turns.append(seconds)

        def recv(self):
            return len(turns) < 3

    speed.train_by_turns(Parent(), script, kind, speed.Options(data_dir=data_dir))
    assert len(turns) == 3
    assert all(seconds > 0 for seconds in turns)
    assert len(averaged) == 10 * (kind == "loop")  # each of the first ten steps, then every tenth; step 15 is the last
    assert (common.Run, EMA.update) == kept


def test_a_failed_training_ends_the_benchmark(monkeypatch):
    monkeypatch.setattr(speed, "KINDS", ("loop",))
    if hasattr(os, "fork"):  # quicker than the start of a process
        forks = multiprocessing.get_context("fork")
        monkeypatch.setattr(speed.multiprocessing, "get_context", lambda _: forks)
    with pytest.raises(SystemExit, match="has failed"):
        speed.measure("fgan", speed.Options(device="none", steps=50, repeats=1))


def test_a_training_can_be_watched(data_dir):
    seen = []

    def look(run, values):
        seen.append((values.keys(), measuring.images_of(run, 3).shape))
        if len(seen) == 2:
            raise measuring.Enough

    measuring.watch("fgan", look, data_dir=data_dir)
    assert seen == [({"bound", "loss_G", "T_real", "T_fake", "gradient_norm"}, (3, 1, 28, 28))] * 2


@pytest.mark.parametrize("kind", get_args(figures.Kind))
def test_a_folder_without_runs_has_no_pictures(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["figures.py", kind, str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        figures.main()
    assert str(tmp_path) in stop.value.code
    assert "\n" not in stop.value.code


def test_taking_samples_of_a_setting_in_use_does_not_change_its_training():
    images = torch.randint(0, 256, (64, 1, 28, 28), dtype=torch.uint8)
    losses = []
    for look in (False, True):
        training = InUse("wgan", images, seed=0)
        if look:
            assert training.samples(500).shape == (500, 1, 28, 28)
        training.step()
        losses.append(training.D[0].weight.sum().item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", ["quality", "speed", "faults"])
def test_what_the_user_can_put_right_is_one_line(name, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    words = ["mnist"] if name == "faults" else []
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words, "--data-dir", str(tmp_path / "file")])
    with pytest.raises(SystemExit, match=rf"^{name}.py: --data-dir .*file is not a folder: [^\n]*$"):
        importlib.import_module(f"benchmarks.{name}").main()


def a_run(folder: Path, fids: list[float], **log: list[float]) -> common.Result:
    """A run of 2 rows of the log for each point of its FID."""
    folder.mkdir()
    rows = [f"{2 * i + 2},{fid}" for i, fid in enumerate(fids)]
    (folder / "fid.csv").write_text("\n".join(["step,fid", *rows]), encoding="utf-8")
    log["step"] = list(range(1, 2 * len(fids) + 1))
    return common.Result("wgan", None, log["step"][-1], 0.0, folder, "mnist", None, log)


def test_the_estimate_is_compared_with_the_fid_of_the_same_steps(tmp_path):
    fids = [500.0, 300.0, 100.0, 50.0, 20.0]
    means = [1.0, 2.0, 3.0, 2.0, 1.0]
    run = a_run(tmp_path / "w", fids, wasserstein=[m + d for m in means for d in (-0.5, 0.5)], loss_D=[0.0] * 10)
    estimates, found = correlation.estimate_and_fid(run)
    assert (estimates.tolist(), found.tolist()) == (means, fids)
    numbers = correlation.compare(estimates, found, digits=150)
    assert numbers["correlation"] == pytest.approx(0.0, abs=1e-9)
    assert (numbers["from the first digits on"], numbers["it falls"]) == (pytest.approx(1.0), 3.0)
    assert correlation.compare(estimates, found, digits=1e9)["it falls"] == 1
    assert correlation.compare(estimates, found, digits=1e9)["from its peak"] == 3
    gan = a_run(tmp_path / "gan", fids, loss_D=[math.log(4)] * 9 + [0.0])  # D guesses: JSD 0; D is sure: log 2
    assert correlation.estimate_and_fid(gan)[0] == pytest.approx([0, 0, 0, 0, math.log(2) / 2])
    for few in (a_run(tmp_path / "few", fids[:3], loss_D=[0.0] * 6), a_run(tmp_path / "M", fids, M=[0.0] * 10)):
        with pytest.raises(UserError, match=r"needed are 5|neither wasserstein nor loss_D"):
            correlation.estimate_and_fid(few)


def test_correlation_without_runs_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["correlation.py"])
    with pytest.raises(SystemExit, match=r"^correlation.py: name the folders of one run or more$"):
        correlation.main()
