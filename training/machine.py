"""The machine: where to compute, how exactly; memory; all random numbers; what a run was made with. Not here: several
processes."""

import contextlib
import ctypes
import functools
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.files import UserError

DEVICES = r"auto|cpu|cuda(:\d{1,3})?|mps(:0)?"
TORCHRUN = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR", "LOCAL_WORLD_SIZE")


def from_torchrun() -> dict[str, int]:
    """What torchrun has told this process; one process, of rank 0, if it did not start it. Empty is unset. Raises
    UserError if the variables do not make sense together."""
    given = {name: os.environ[name] for name in TORCHRUN if os.environ.get(name, "").strip()}
    try:
        told = {name: int(given.get(name, name == "WORLD_SIZE")) for name in TORCHRUN[:3]}
        world, rank, local = told.values()
        told["LOCAL_WORLD_SIZE"] = beside = int(given.get("LOCAL_WORLD_SIZE", world))
        sensible = (
            0 <= local < beside <= world and local <= rank < world and 0 < int(given.get("MASTER_PORT", 1)) < 2**16
        )
    except ValueError:
        sensible = False
    if not sensible or (world > 1 and not given.keys() >= set(TORCHRUN[:5])):
        said = " ".join(f"{name}={value}" for name, value in given.items())
        raise UserError(f"{said}: torchrun sets {', '.join(TORCHRUN)} together; start with torchrun, or unset them")
    return told


def choose_device(name: str) -> torch.device:
    """auto, cpu, cuda, cuda:N or mps to a device; under torchrun each process has its own GPU. Raises UserError."""
    told, (kind, _, number) = from_torchrun(), name.partition(":")
    processes = told["LOCAL_WORLD_SIZE"]  # of this machine
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    # Of mps there is one, and processes can't exchange gradients on it
    available = {"cuda": gpus >= processes, "mps": torch.backends.mps.is_available() and processes == 1, "cpu": True}
    if kind == "auto":
        kind = next(device for device, there in available.items() if there)
    if not available[kind] or (number and (int(number) >= max(gpus, 1) or processes > 1)):
        there = [device for device in available if available[device]]
        there += [f"cuda:{i}" for i in range(gpus) if gpus > 1 and processes == 1]
        whom = f"{processes} processes" if processes > 1 else "this PyTorch"
        raise UserError(f"--device {name}: {whom} can't use it here; there is {', '.join(there)}")
    return torch.device(kind, int(number or told["LOCAL_RANK"])) if kind == "cuda" else torch.device(kind)


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether products are computed in bfloat16. auto: on a CPU that multiplies bfloat16 matrices in hardware (AMX);
    elsewhere it would gain nothing for networks as small as these, or lose."""
    amx = device.type == "cpu" and bool(getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16"))
    return precision == "bfloat16" or (precision == "auto" and amx)


def autocast(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorates a network's forward pass: matrix products and convolutions in the precision of the run, the result in
    float32. Losses, penalties and all backward passes stay outside, as PyTorch advises."""

    @functools.wraps(forward)
    def cast(network: torch.nn.Module, x: Tensor) -> Tensor:
        if not in_bfloat16:
            return forward(network, x)
        # No cache of cast weights: it would go stale when an optimizer changes them
        with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
            return forward(network, x).float()

    return cast


in_bfloat16 = False  # whether forward passes are, now


@contextlib.contextmanager
def forward_passes(bfloat16: bool) -> Iterator[None]:
    """Within: forward passes in bfloat16, or all in float32."""
    global in_bfloat16
    before, in_bfloat16 = in_bfloat16, bfloat16
    try:
        yield
    finally:
        in_bfloat16 = before


def prepare_machine(device: torch.device) -> None:
    """What makes a training quicker and changes nothing that it learns."""
    torch.set_flush_denormal(True)  # Adam's averages of tiny gradients would slow a CPU down tenfold
    keep_freed_memory()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32; on CPUs it would make float32 less exact for no gain


def keep_freed_memory() -> None:
    """Let glibc's malloc (Linux) keep what a step has freed for the next step.

    By default it returns it to the system, which hands it out again page by page, each filled with zeros
    first: on a CPU that takes up to a fifth of a convolutional script's time. Other systems stay as they are.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_threshold = -1, -3  # as malloc.h numbers them
        libc.mallopt(trim_threshold, 1 << 30)  # bytes that may lie free
        libc.mallopt(mmap_threshold, 32 << 20)  # larger pieces are the system's as ever; glibc allows no more


def seed_everything(seed: int, step: int) -> None:
    """From here on PyTorch's random numbers are a function of (seed, step); numpy's and Python's are not touched.

    Done before every step, so that a run can be stopped and resumed anywhere without keeping the
    state of a generator, and on any number of processes.
    """
    number = int(np.random.SeedSequence((seed, step)).generate_state(1)[0])
    torch.default_generator.manual_seed(number)  # torch.manual_seed takes 0.1 ms, as it looks for every kind of device
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(number)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(number)


def made_with(device: torch.device, bfloat16: bool) -> dict:
    """What the numbers of a run may depend on, besides its hyperparameters and its data. commit: the scripts' git
    commit; clean: whether they are as they were committed; both None where git can't tell."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    command = ["git", "-C", str(Path(__file__).parent.parent), "status", "--porcelain=v2", "--branch", "--", "*.py"]
    try:
        git = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10).stdout.decode()
    except (OSError, subprocess.SubprocessError, ValueError):
        git = ""
    commit = re.search("^# branch.oid (.+)$", git, re.M)
    return {
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        **{"commit": commit and commit[1], "clean": re.search("^[^#]", git, re.M) is None if commit else None},
        **{"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__},
        **{"system": platform.platform(), "device": gpu or f"{device.type}, {torch.backends.cpu.get_cpu_capability()}"},
        **{"precision": "bfloat16" if bfloat16 else "float32", "threads": torch.get_num_threads()},
    }
