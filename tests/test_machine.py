"""What malloc is told; a system that is not Unix."""

import os
import platform
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, colour_shape
from torch import nn

import wgan_gp
from training.files import UserError
from training.machine import autocast, choose_device, forward_passes

FAULTS = """
import resource, torch
from training import machine
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
machine.keep_freed_memory()
print(page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone can be told")
def test_freed_memory_serves_the_next_step():
    # By itself glibc moves its thresholds as it goes, and may happen to keep these pieces; told so it never does
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    environment.pop("LD_PRELOAD", None)
    words = [sys.executable, "-c", FAULTS]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True)
    returned, kept = map(int, done.stdout.split())
    assert kept < returned / 10  # here 0 and 82,000


WITHOUT_UNIX = """
import asyncio, importlib, mmap, multiprocessing, os, signal, subprocess, sys, tempfile
import filelock, matplotlib.figure, scipy.stats, torch.distributed.run, torchmetrics, torchvision, tqdm.auto, tyro
for module, names in (
    (os, "fork geteuid getuid getloadavg sched_getaffinity getpgid killpg setsid mkfifo wait4 nice pread"),
    (signal, "SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGALRM SIGQUIT SIGCHLD pause alarm setitimer"),
    (mmap, "MADV_DONTNEED MADV_SEQUENTIAL MAP_PRIVATE MAP_SHARED PROT_READ PROT_WRITE"),
):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
for name in ("resource", "fcntl", "pwd", "grp", "termios", "pty"):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
assert os.listdir() == ["images"]  # importing does nothing
import fgan, training.folders
training.folders.LARGE = 100
fgan.train(fgan.Hyperparameters(data="images", steps=100, batch_size=2, image_size=8, width=4, hidden=4))
"""


def test_nothing_needs_what_only_unix_has(tmp_path):
    """Every module is imported, which does nothing else, and a training on a memory-mapped folder runs, without what
    Windows lacks."""
    (tmp_path / "images").mkdir()
    for i in range(4):
        colour_shape((20, 20), i).save(tmp_path / "images" / f"{i}.png")
    paths = [
        path.relative_to(ROOT)
        for pattern in ("*.py", "training/*.py", "evaluation/*.py", "benchmarks/*.py")
        for path in ROOT.glob(pattern)
    ]
    modules = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
    assert {"common", "training.processes", "benchmarks.speed"} <= set(modules)
    words = [sys.executable, "-c", WITHOUT_UNIX, *modules]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/fgan/samples.png").exists()


def test_processes_of_one_machine_share_its_devices(monkeypatch):
    """Each needs a GPU of its own; Apple's is one, and processes can't exchange gradients on it."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto") == torch.device("cuda", 0)
    assert choose_device("mps").type == "mps"
    told = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert choose_device("auto").type == "cpu"
    for name in ("cuda", "mps"):
        with pytest.raises(UserError, match=f"--device {name}: 2 processes can't use it here; there is cpu"):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda", 1)
    with pytest.raises(UserError, match=r"--device cuda:0: 2 processes can't use it here; there is cuda, cpu$"):
        choose_device("cuda:0")
    for name in told:
        monkeypatch.delenv(name)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("mps:0").type == "mps"
    with pytest.raises(UserError, match=r"--device cuda:2: this PyTorch .* there is cuda, mps, cpu, cuda:0, cuda:1$"):
        choose_device("cuda:2")


class Linear(nn.Linear):
    """Says in which precision it was computed."""

    @autocast
    def forward(self, x):
        y = super().forward(x)
        self.inside = y.dtype
        return y


def test_in_bfloat16_forward_passes_alone_are_cast():
    layer, x = Linear(4, 4), torch.ones(1, 4)
    with forward_passes(bfloat16=True):
        before = layer(x)
        assert (layer.inside, before.dtype) == (torch.bfloat16, torch.float32)
        assert (x @ x.T).dtype == torch.float32  # a loss, or a backward pass
        with torch.no_grad():
            layer.weight += 1
        assert not torch.equal(before, layer(x))  # a changed weight counts at once
        with forward_passes(bfloat16=False):
            layer(x)
            assert layer.inside == torch.float32
        layer(x)
        assert layer.inside == torch.bfloat16
    layer(x)
    assert layer.inside == torch.float32


def test_a_penalty_in_bfloat16_is_near_that_in_float32():
    """The double backward pass goes through a cast forward pass, and the gradients reach the float32 weights."""
    torch.manual_seed(0)
    hp = wgan_gp.Hyperparameters(image_size=28, channels=1)
    D, x, fake, epsilon = (
        wgan_gp.Discriminator(hp),
        torch.randn(8, 1, 28, 28),
        torch.randn(8, 1, 28, 28),
        torch.rand(8, 1, 1, 1),
    )
    slopes = {}
    for bfloat16 in (False, True):
        D.zero_grad()
        with forward_passes(bfloat16):
            penalty, _ = wgan_gp.gradient_penalty(D, x, fake, epsilon)
            penalty.backward()
        slopes[bfloat16] = torch.cat([w.grad.flatten() for w in D.parameters() if w.grad is not None])
    assert slopes[True].dtype == torch.float32
    assert torch.cosine_similarity(slopes[True], slopes[False], dim=0) > 0.99
