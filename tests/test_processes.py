"""Several processes: the same samples, the same weights as one, and an orderly end when one dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, small, tensors, wait_for
from forked import Child, Server

from training import processes
from training.earlier import read_checkpoint

# Two scripts without BatchNorm, which alone sees how the batch is divided, and in float64: in float32 Adam makes
# whole steps of the rounding in gradients that are nearly 0, and those differ with the size of a process's share.
# The processes are forked, so that Python and PyTorch start once and not eight times.
WITHOUT_BATCHNORM = """
import importlib, os, socket, sys
sys.path.insert(0, {root!r})
import torch, torch._dynamo, torch.distributed, matplotlib.figure  # so that the children need not
from torch import nn
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.Tensor.float = torch.Tensor.double
class Nothing(nn.Identity):
    pass
nn.BatchNorm1d = nn.BatchNorm2d = Nothing
import common
from training.processes import process_group
data_dir = sys.argv[1]

def train(folder):
    if folder.endswith("broken"):
        common.average_gradients = lambda network: None
    with process_group("cpu"):
        mine = torch.tensor(float(rank))
        assert common.mean_over_processes(mine) == (world - 1) / 2
        assert mine == rank  # unchanged
        scripts = {scripts}
        for script in scripts:
            module = importlib.import_module(script)
            module.initialise = lambda layer: None  # it looks for BatchNorm's weights
            module.train(module.Hyperparameters(
                steps=6, batch_size=12, data_dir=data_dir, out=folder + "/" + script, precision="float32",
                device="cpu", **scripts[script]))

for world, folder in {groups}:
    children = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for rank in range(world):
        os.environ.update(
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        child = os.fork()
        if child == 0:
            train(folder)
            os._exit(0)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children), folder
"""


def torchrun(processes: int, script: str, *flags: object, cwd: Path) -> subprocess.Popen:
    words = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        processes,
        ROOT / script,
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return subprocess.Popen([str(word) for word in (*words, *flags)], cwd=cwd, **pipes)


def group(processes: int, forked: Server, *flags: object, cwd: Path) -> list[Child]:
    """fgan.py in several processes, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(processes)}
    ranks = map(str, range(processes))
    return [forked.start("fgan.py", *flags, cwd=cwd, RANK=rank, LOCAL_RANK=rank, **place) for rank in ranks]


def weights(folder) -> dict[str, torch.Tensor]:
    content = tensors(read_checkpoint(folder, None)["networks"])
    return {name: t for name, t in content.items() if t.is_floating_point()}


def distance(a: dict, b: dict) -> float:
    """The largest relative difference of any of the networks' tensors."""
    return max(((a[name] - b[name]).norm() / a[name].norm()).item() for name in a)


def test_n_processes_learn_what_one_does(tmp_path, data_dir):
    scripts = {"wgan_gp": {"width": 4, "hidden": 32}, "began": {"G_hidden": 32, "D_hidden": 32}}
    groups = ((1, "one"), (2, "two"), (2, "two-broken"), (3, "three"))
    program = WITHOUT_BATCHNORM.format(root=str(ROOT), scripts=scripts, groups=groups)
    words = [sys.executable, "-c", program, data_dir]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    for script in scripts:
        one = weights(tmp_path / "one" / script)
        for name in ("two", "three"):
            assert distance(one, weights(tmp_path / name / script)) < 1e-9
            a, b = (read_checkpoint(tmp_path / folder / script, None)["state"] for folder in ("one", name))
            assert all(a[key].item() == pytest.approx(b[key].item(), rel=1e-9) for key in a)
            logs = [np.loadtxt(tmp_path / f / script / "log.csv", delimiter=",", skiprows=1) for f in ("one", name)]
            np.testing.assert_allclose(*logs, rtol=1e-9)
        assert distance(one, weights(tmp_path / "two-broken" / script)) > 1e-3


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="it finds torchrun's processes in /proc")
def test_one_of_three_is_killed_and_two_go_on(forked, request, tmp_path, data_dir):
    flags = ("--batch-size", 12, "--data-dir", data_dir, "--device", "cpu", "--out", "run", "--checkpoint-every", 20)
    flags += small("fgan")
    process = torchrun(3, "fgan.py", "--steps", 10**6, *flags, cwd=tmp_path)
    request.addfinalizer(process.terminate)  # torchrun ends the three with it, if the test fails
    checkpoint = tmp_path / "run/checkpoint.pt"
    wait_for(checkpoint, 300)
    lists = Path(f"/proc/{process.pid}/task").glob("*/children")
    children = [pid for path in lists for pid in path.read_text(encoding="utf-8").split()]
    workers = [int(pid) for pid in children if b"fgan.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 3
    os.kill(workers[-1], signal.SIGKILL)
    start = time.monotonic()
    _, err = process.communicate(timeout=200)
    assert time.monotonic() - start < 30
    assert process.returncode != 0
    assert "another process of this run has ended" in err
    step = read_checkpoint(tmp_path / "run", None)["step"]
    for process in group(2, forked, "--steps", step + 5, *flags, "--resume", cwd=tmp_path):
        code, _, err = process.wait()
        assert code == 0, err
    assert read_checkpoint(tmp_path / "run", None)["step"] == step + 5


def test_all_stop_together_when_one_gets_a_signal(forked, tmp_path, data_dir):
    flags = ("--batch-size", 12, "--data-dir", data_dir, "--device", "cpu", "--out", "run", "--log-every", 5)
    flags += small("fgan")
    first, second = group(2, forked, "--steps", 10**6, *flags, cwd=tmp_path)
    wait_for(tmp_path / "run/log.csv")
    os.kill(second.pid, signal.SIGTERM)
    (code, said, _), (code_of_second, said_by_second, _) = first.wait(), second.wait()
    assert code == code_of_second == 143
    assert (said + said_by_second).count("stopped after step") == 1
    assert read_checkpoint(tmp_path / "run", None)["step"] > 0


def test_a_batch_that_does_not_divide(command_line, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    code, _, err = command_line("fgan", "--batch-size", 7)
    assert code == 1
    assert "--batch-size 7: must be a multiple of the 2 processes" in err
    assert not (tmp_path / "out").exists()
