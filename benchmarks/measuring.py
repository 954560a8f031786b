"""What the commands in this folder share: looking into a training, scoring its samples, naming the machine."""

import contextlib
import functools
import importlib
import inspect
import io
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args
from unittest import mock

import torch
from torch import Tensor

import common
import evaluate
from evaluation.features import choose_device_to_measure
from evaluation.many_runs import share_of_cores
from evaluation.metrics import fid
from evaluation.reference import Reference
from training.files import UserError
from training.machine import forward_passes

Script = Literal["began", "fgan", "dcgan", "wgan", "wgan_gp"]
SCRIPTS: tuple[Script, ...] = get_args(Script)


class Enough(Exception):
    """Raised in a training to end it."""


def command(main: Callable[[], None]) -> Callable[[], None]:
    """main, but what the user can put right ends it with one line."""

    @functools.wraps(main)
    def ends_in_one_line() -> None:
        try:
            main()
        except UserError as error:
            sys.exit(f"{Path(inspect.getfile(main)).name}: {error}")

    return ends_in_one_line


@contextlib.contextmanager
def quiet():
    """Within: nothing is printed."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def train(script: str, Run: type[common.Run], **settings) -> None:
    """Train a script in a folder that is thrown away, with another kind of Run, until that raises Enough."""
    module = importlib.import_module(script)
    exchanged = mock.patch.object(common, "Run", Run)
    with tempfile.TemporaryDirectory() as folder, exchanged, quiet(), contextlib.suppress(Enough):
        module.train(module.Hyperparameters(steps=10**9, out=f"{folder}/run", **settings))


def watch(script: str, look: Callable[[common.Run, dict], None], **settings) -> None:
    """Train a script. After every step look(run, logged values); it may raise Enough."""

    class Watched(common.Run):
        def log(self, **values) -> None:
            super().log(**values)
            # Whatever it measures, it measures in float32
            with forward_passes(bfloat16=False):
                look(self, values)

    train(script, Watched, **settings)


def images_of(run: common.Run, count: int) -> Tensor:
    """What the run's generator makes now, uint8; always of the same noise."""
    return common.to_uint8(run.samples(0, count))


@functools.cache
def reference(data_dir: str) -> Reference:
    """MNIST and its classifier, which is trained if need be."""
    return evaluate.reference_for("mnist", torch.Size((1, 28, 28)), data_dir, choose_device_to_measure("auto"))


def score(images: Tensor, data_dir: str) -> float:
    """The FID of uint8 images, against as many training images."""
    known = reference(data_dir)
    return fid(known.real_features(len(images))[0], known.features(images)[0])


@contextlib.contextmanager
def side_by_side(jobs: int, data_dir: str):
    """A pool of `jobs` processes that share the cores; each task has a new one, as our own training changes malloc."""
    reference(data_dir)  # trains the classifier, if need be, once for all
    os.environ.update(share_of_cores(jobs))
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        yield pool


def machine(device: torch.device) -> str:
    """Processor, threads, PyTorch's version."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
    model = "CPU"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        model = next(named, model)  # ARM processors give no name
    return f"{model}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def save(path: str, content: object) -> None:
    """Numbers as JSON."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content, indent=1), encoding="utf-8")
