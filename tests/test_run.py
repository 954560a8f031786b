"""The command line, the files of a run, and what happens when something goes wrong."""

import contextlib
import csv
import dataclasses
import importlib
import itertools
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, SCRIPTS, TINY, assert_same_run, tensors
from PIL import Image
from torch import nn

import common

every_script = pytest.mark.parametrize("script", SCRIPTS)


# Pictures.


@pytest.mark.parametrize(
    ("n", "channels", "size", "side"), [(64, 1, 28, 8), (100, 3, 32, 10), (10, 1, 64, 4), (2, 3, 8, 2)]
)
def test_grid_geometry(n, channels, size, side):
    images = torch.full((n, channels, size, size), -1.0)
    images[0] = 1
    picture = np.asarray(common.grid(images))
    cell = size * max(1, 56 // size)
    rows = -(-n // side)
    assert picture.shape == (2 + rows * (cell + 2), 2 + side * (cell + 2), 3)
    assert (picture[2 : 2 + cell, 2 : 2 + cell] == 255).all()  # the first image is white, inside its frame
    assert (picture[:2] == 128).all()

    assert (picture[2 : 2 + cell, 4 + cell : 4 + 2 * cell] == 0).all()


def test_smoothing_keeps_lines_and_ends():
    line = np.arange(50.0)
    assert np.allclose(common.smooth(line, 5), line)
    assert common.smooth([1.0], 3).tolist() == [1.0]
    assert np.allclose(common.smooth([0, 3, 0, 3, 0], 1)[1:4], [1, 2, 1])


def test_generate_uses_eval_mode_and_restores_it():
    G = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = {k: v.clone() for k, v in G.state_dict().items()}
    out = common.generate(G, torch.randn(7, 2), batch=3)
    assert out.shape == (7, 3)
    assert G.training
    assert all(torch.equal(v, before[k]) for k, v in G.state_dict().items())


# Memory.

FAULTS = """
import resource, torch, common
torch.set_num_threads(1)
def step():
    pieces = [torch.zeros(1 << 20) for _ in range(8)]  # 4 MB each
    return pieces[0]
def page_faults():
    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(page_faults())
common.keep_freed_memory()
print(page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone can be told")
def test_freed_memory_serves_the_next_step():
    # By itself glibc moves its thresholds as it goes, and may happen to keep these pieces; told so it never does
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    environment.pop("LD_PRELOAD", None)
    words = [sys.executable, "-c", FAULTS]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    returned, kept = map(int, done.stdout.split())
    assert kept < returned / 10  # here 0 and 82,000


# Randomness.


def test_every_step_has_its_own_numbers_whatever_came_before():
    common.seed_everything(1, 7)
    first = common.noise(4, 3)
    torch.rand(1000)
    common.seed_everything(1, 7)
    assert torch.equal(common.noise(4, 3), first)
    others = []
    for seed, step in ((1, 8), (2, 7), (7, 1), (1, 107)):
        common.seed_everything(seed, step)
        others.append(common.noise(4, 3))
    assert all(not torch.equal(first, other) for other in others)
    assert first.abs().max() <= 1


# What the steps of several scripts use.


def test_frozen_lets_gradients_through_but_gives_none():
    D = nn.Linear(3, 1)
    x = torch.randn(2, 3, requires_grad=True)
    with common.frozen(D):
        D(x).sum().backward()
    assert D.weight.grad is None
    assert torch.equal(x.grad, D.weight.detach().expand(2, 3))
    assert all(p.requires_grad for p in D.parameters())


def test_average_weights_is_the_exponential_mean():
    G, A = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        G.weight.fill_(2.0)
        G.running_mean.fill_(10.0)
    for _ in range(3):
        common.average_weights(common.weights(A), common.weights(G), 0.9)
    assert torch.allclose(A.weight, torch.full((3,), 2 - 0.9**3))
    assert torch.allclose(A.running_mean, torch.full((3,), 10 * (1 - 0.9**3)))
    common.average_weights(common.weights(A), common.weights(G), 0.0)
    assert torch.equal(A.weight, G.weight)


@pytest.mark.parametrize(("decay", "every"), [(0.0, 1), (0.9, 1), (0.95, 2), (0.99, 10)])
def test_the_average_follows_every_few_steps(decay, every, monkeypatch, command_line, tmp_path):
    """Every 0.1/(1 − decay) steps, with the decay of as many, or less at the start of a run."""
    real, seen = common.average_weights, []

    def noted(average, now, decay):
        seen.append(decay)
        real(average, now, decay)

    monkeypatch.setattr(common, "average_weights", noted)
    code, _, err = command_line("dcgan", *TINY, "--steps", 20, "--average", decay)
    assert code == 0, err
    assert seen == pytest.approx([min(decay**every, i / (i + 9)) for i in range(1, 20 // every + 1)])
    checkpoint = common.read_checkpoint(tmp_path / "out/dcgan", "dcgan", "cpu")
    if decay == 0:
        networks = checkpoint["networks"]
        pairs = [(a, networks["G"][name]) for name, a in networks["G_average"].items() if a.is_floating_point()]
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", ["began", "fgan"])
def test_one_forward_pass_gives_each_player_its_own_gradient(name, command_line, monkeypatch):
    """The gradients are those of two separate passes: D's with G's images detached, G's with D frozen."""
    script = importlib.import_module(name)
    batch, compared = {}, []
    real_steps, real, noise, average_gradients = (
        *(common.Run.steps, common.Run.real, common.Run.noise),
        common.average_gradients,
    )

    def steps(run, **parts):
        batch.update(parts, hp=run.hp)
        yield from real_steps(run, **parts)

    def compare(network):
        average_gradients(network)
        G, D, hp, x = (batch[key] for key in ("G", "D", "hp", "x"))
        fake = G(batch["z"])
        if name == "fgan":
            divergence = script.choose_divergence(hp)
            loss_D = script.critic_loss(divergence, D(x), D(fake.detach()))
            loss_G = script.generator_loss(divergence, D(fake), hp.generator_objective)
        else:
            errors = (script.reconstruction_loss(D, v, hp.eta) for v in (x, fake.detach()))
            loss_D = script.discriminator_loss(*errors, batch["k"])
            loss_G = script.reconstruction_loss(D, fake, hp.eta)
        expected = torch.autograd.grad(loss_D if network is D else loss_G, list(network.parameters()))
        found = [p.grad for p in network.parameters()]
        torch.testing.assert_close(found, list(expected), rtol=1e-4, atol=1e-6)
        if network is D:
            batch["D's"] = [g.clone() for g in found]
        else:
            assert all(torch.equal(a, p.grad) for a, p in zip(batch["D's"], D.parameters()))
        compared.append("D" if network is D else "G")

    monkeypatch.setattr(common.Run, "steps", steps)
    monkeypatch.setattr(common.Run, "real", lambda run: batch.setdefault("x", real(run)))
    monkeypatch.setattr(common.Run, "noise", lambda run: batch.setdefault("z", noise(run)))
    monkeypatch.setattr(common, "average_gradients", compare)
    code, _, err = command_line(name, "--steps", 4, "--batch-size", 8, "--precision", "float32")
    assert code == 0, err
    assert compared == ["D", "G"] * 4


# The command line.

WRONG = [
    ("began", ("--gamma", "2"), "--gamma 2.0", "(0, 1]"),
    ("began", ("--batch-size", "0"), "--batch-size 0", "at least 1"),
    ("began", ("--steps", "-1"), "--steps -1", "at least 1"),
    ("began", ("--gama", "0.5"), "--gama", "--gamma"),
    ("began", ("--data", "nowhere"), "--data nowhere", "mnist"),
    ("began", ("--steps", "many"), "--steps", "int"),
    ("began", ("--network", "conv", "--image-size", "31"), "--image-size 31", "power of 2"),
    ("began", ("--eta", "3"), "--eta", "('1', '2')"),
    ("began", ("--lambda-k", "0"), "--lambda-k 0.0", "above 0"),
    ("began", ("--k-start", "2"), "--k-start 2.0", "[0, 1]"),
    ("began", ("--D-lr", "-1"), "--D-lr -1.0", "above 0"),
    ("began", ("--head-start", "-1"), "--head-start -1", "0 or more"),
    ("wgan", ("--c", "0"), "--c 0.0", "above 0"),
    ("wgan", ("--n-critic", "0"), "--n-critic 0", "at least 1"),
    ("wgan_gp", ("--lambda-gp", "-1"), "--lambda-gp -1.0", "0 or more"),
    ("dcgan", ("--image-size", "31"), "--image-size 31", "power of 2"),
    ("dcgan", ("--betas", "0.5", "1"), "--betas", "[0, 1)"),
    ("dcgan", ("--lr", "nan"), "--lr nan", "above 0"),
    ("fgan", ("--divergence", "wasserstein"), "--divergence wasserstein", "squared_hellinger"),
    ("fgan", ("--alpha", "1"), "--alpha 1.0", "but 0 and 1"),
    ("fgan", ("--alpha", "0"), "--alpha 0.0", "but 0 and 1"),
    ("fgan", ("--pi", "1"), "--pi 1.0", "(0, 1)"),
    ("fgan", ("--device", "tpu"), "--device", "cuda"),
    ("fgan", ("--seed", "-1"), "--seed -1", "0 or more"),
]


@pytest.mark.parametrize(("script", "arguments", "named", "allowed"), WRONG)
def test_a_wrong_flag_is_named_and_nothing_is_written(script, arguments, named, allowed, command_line, tmp_path):
    code, out, err = command_line(script, *arguments)
    text = re.sub(r"[│╭╰─\s]+", " ", out + err)
    assert code == 2
    assert named in text
    assert allowed in text
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


@every_script
def test_help_lists_every_hyperparameter_with_meaning_and_default(script, command_line):
    code, out, _ = command_line(script, "--help")
    text = re.sub(r"[│╭╰─\s]+", " ", out)
    assert code == 0
    for field in dataclasses.fields(importlib.import_module(script).Hyperparameters):
        flag = common.flag(field.name)
        assert flag in text
        default = str(field.default).strip("()").replace(",", "")
        start = re.search(rf"{flag}( [A-Z]+| \{{|,)", text).end()
        meaning, _, rest = text[start:].partition("(default:")
        assert len(meaning.split()) >= 3, flag
        assert rest.strip().startswith(default), (flag, rest[:30])


# A run and its files.


@every_script
def test_a_run_leaves_its_files(script, command_line, tmp_path):
    code, out, _ = command_line(script, *TINY, "--average", 0)  # so that each frame of training.gif differs
    folder = tmp_path / "out" / script
    assert code == 0, out
    names = {"samples.png", "log.csv", "curves.png", "training.gif", "checkpoint.pt", "hyperparameters.json", "samples"}
    assert {p.name for p in folder.iterdir()} == names
    assert sorted(p.name for p in (folder / "samples").iterdir()) == ["000000.png", "000003.png", "000006.png"]
    rows = list(csv.DictReader((folder / "log.csv").open()))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert all(np.isfinite(float(v)) for row in rows for v in row.values())
    assert Image.open(folder / "training.gif").n_frames == 3
    hyperparameters = json.loads((folder / "hyperparameters.json").read_text())
    assert hyperparameters["steps"] == 6
    assert hyperparameters["image_size"] == 28
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert {"script", "step", "hyperparameters", "networks", "optimizers", "state", "rng"} <= checkpoint.keys()
    assert {"G", "D", "G_average"} == checkpoint["networks"].keys()
    assert not list(tmp_path.rglob("*.part"))


def test_curves_are_drawn_once_a_minute_and_at_the_end(command_line, monkeypatch):
    """At a checkpoint they are drawn if the last drawing is a minute old, as one takes half a second."""
    drawn, hours = [], itertools.count(step=3600)
    monkeypatch.setattr(common, "save_curves", lambda steps, columns, path: drawn.append(steps[-1]))
    arguments = ("fgan", *TINY[2:], "--steps", 12)
    assert command_line(*arguments)[0] == 0
    assert drawn == [12]
    monkeypatch.setattr(common.time, "perf_counter", lambda: next(hours))
    assert command_line(*arguments)[0] == 0
    assert drawn == [12, 4, 8, 12]


@every_script
def test_same_seed_same_tensors(script, command_line, tmp_path):
    for out in ("a", "b"):
        assert command_line(script, *TINY, "--out", out)[0] == 0
    assert command_line(script, *TINY, "--out", "c", "--seed", 1)[0] == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")
    a, c = (tensors(common.read_checkpoint(tmp_path / x, None, "cpu")["networks"]) for x in "ac")
    assert not torch.equal(a["/G/net.0.weight"], c["/G/net.0.weight"])


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
    assert (tmp_path / "thesis" / "log.csv").read_text() == "precious"


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


class Full:
    """A file system without room: every write fails as on a full disk."""

    def __init__(self, monkeypatch, after: int) -> None:
        self.left = after
        self.fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")
        self.fsync(descriptor)


def test_full_disk_keeps_the_old_checkpoint(command_line, tmp_path, monkeypatch):
    assert command_line("dcgan", *TINY)[0] == 0
    checkpoint = tmp_path / "out/dcgan/checkpoint.pt"
    before = checkpoint.read_bytes()
    real = common.write_file

    def write(path: Path, content: bytes) -> None:
        if path.name == "checkpoint.pt":
            Full(monkeypatch, after=0)
        real(path, content)

    monkeypatch.setattr(common, "write_file", write)
    code, _, err = command_line("dcgan", *TINY[2:], "--steps", 12, "--resume")
    line = err.strip().splitlines()[-1]
    assert code == 1
    assert "checkpoint.pt can't be written: No space left on device" in line
    assert checkpoint.read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_nan_stops_with_step_and_loss_and_keeps_the_last_good_checkpoint(command_line, tmp_path, monkeypatch):
    import dcgan

    real, calls = dcgan.generator_loss, []

    def sabotaged(d_fake):
        calls.append(1)
        return real(d_fake) * (float("nan") if len(calls) == 6 else 1.0)

    monkeypatch.setattr(dcgan, "generator_loss", sabotaged)
    code, _, err = command_line("dcgan", *TINY[2:], "--steps", 20)
    line = err.strip().splitlines()[-1]
    assert code == 1
    assert "loss_G is nan at step 6" in line
    assert (tmp_path / "out/dcgan/curves.png").exists()  # they may show why
    checkpoint = common.read_checkpoint(tmp_path / "out/dcgan", "dcgan", "cpu")
    assert checkpoint["step"] == 4
    assert all(t.isfinite().all() for t in tensors(checkpoint["networks"]).values())


def test_weights_that_are_not_finite_are_never_saved(command_line, tmp_path, monkeypatch):
    import dcgan

    real, calls = common.average_weights, []

    def sabotaged(average, now, decay):
        calls.append(1)
        real(average, now, decay)
        if len(calls) == 8:
            average[0].fill_(float("inf"))

    monkeypatch.setattr(dcgan.common, "average_weights", sabotaged)
    code, _, err = command_line("dcgan", *TINY[2:], "--steps", 8, "--average", 0)
    assert code == 1
    assert "weights of G_average are not finite after step 8" in err
    assert common.read_checkpoint(tmp_path / "out/dcgan", "dcgan", "cpu")["step"] == 4


def test_an_ordinary_step_does_no_file_work_and_no_host_synchronisation(command_line, tmp_path, monkeypatch):
    """Between two logging intervals nothing is written, and no tensor becomes a Python number."""
    opened, synced = [], []
    watching = {"on": False}
    real_real = common.Run.real

    def real(self):
        watching["on"] = 2 <= self.step <= 7
        return real_real(self)

    monkeypatch.setattr(common.Run, "real", real)
    for name in ("item", "tolist", "__float__", "__bool__", "__int__", "numpy", "cpu"):
        original = getattr(torch.Tensor, name)

        def spy(self, *a, _name=name, _original=original, **k):
            # PyTorch's optimizers look at their own step counters, which live on the CPU
            if watching["on"] and "torch/optim" not in sys._getframe(1).f_code.co_filename:
                synced.append(_name)
            return _original(self, *a, **k)

        monkeypatch.setattr(torch.Tensor, name, spy)
    real_write = common.write_file
    monkeypatch.setattr(
        common, "write_file", lambda p, c: (opened.append(p) if watching["on"] else None, real_write(p, c))
    )
    for script in SCRIPTS:
        opened.clear(), synced.clear()
        watching["on"] = False
        flags = ("--steps", 9, "--batch-size", 8, "--log-every", 9, "--sample-every", 9, "--out", f"out/{script}")
        code, _, err = command_line(script, *flags)
        watching["on"] = False
        assert code == 0, err
        assert not opened
        assert not synced, script


def test_cuda_graph_is_refused_without_a_gpu(command_line, tmp_path):
    code, _, err = command_line("dcgan", "--cuda-graph", "--device", "cpu")
    assert code == 1
    assert err.count("\n") == 1
    assert "--cuda-graph: works in one process on an NVIDIA GPU" in err
    assert not (tmp_path / "out").exists()


def test_a_recorded_step_replaces_the_loops_body(command_line, tmp_path, monkeypatch):
    """All of --cuda-graph but CUDA: the body runs three times and is recorded once; then replay() is the step."""
    bodies, replays = [], []

    class Graph:
        def __init__(self, run):
            self.run = run

        def replay(self):
            replays.append(self.run.step + 1)
            for value in self.run.recorded:  # a graph writes its results where they lay when it was recorded
                value.fill_(self.run.step + 1)

    @contextlib.contextmanager
    def recording(self):
        bodies.append(self.step + 1)
        yield
        if self.step - self.first >= 3:
            self.recorded, self.graph = self.pending.pop(), Graph(self)

    monkeypatch.setattr(common.Run, "recording", recording)
    flags = ("--steps", 8, "--batch-size", 8, "--log-every", 2, "--sample-every", 8)
    code, _, err = command_line("dcgan", *flags)
    assert code == 0, err
    assert bodies == [1, 2, 3, 4]
    assert replays == [4, 5, 6, 7, 8]
    rows = list(csv.DictReader((tmp_path / "out/dcgan/log.csv").open()))
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    assert [float(row["loss_G"]) for row in rows[2:]] == [5.5, 7.5]  # the means of what each replay left
    assert common.read_checkpoint(tmp_path / "out/dcgan", "dcgan", "cpu")["step"] == 8
