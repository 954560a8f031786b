"""What the tests share: the project on the path, the real digits, scripts in this process and in others."""

import ast
import dataclasses
import functools
import importlib
import inspect
import os
import sys
import time
from pathlib import Path

# One thread each, also in the processes that tests start: the networks here are too small for more, and threads that
# wait for each other on a busy machine take minutes for what takes seconds. Read when torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch
from filelock import FileLock
from forked import Server
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import common  # noqa: E402
import evaluate  # noqa: E402
from evaluation import inversion  # noqa: E402
from training import datasets, log  # noqa: E402
from training.earlier import read_checkpoint  # noqa: E402

torch.backends.mps.is_available = lambda: False  # the tests hold what a CPU computes, on a Mac as well

LESSONS = ("began", "began_conv", "dcgan", "fgan", "wgan", "wgan_gp")  # which README and docs are about


def is_a_script(path: Path) -> bool:
    """Whether a file is a lesson, or a variant of a user's own: it has hyperparameters, a generator and a training."""
    names = {getattr(node, "name", "") for node in ast.parse(path.read_text(encoding="utf-8")).body}
    return path.stem.isidentifier() and {"Hyperparameters", "Generator", "train"} <= names


SCRIPTS = tuple(sorted(path.stem for path in ROOT.glob("*.py") if is_a_script(path)))


@pytest.fixture(scope="session", autouse=True)
def offline():
    """No test reaches for the network: mirrors refuse, in this process and in those it starts."""
    os.environ["http_proxy"] = os.environ["https_proxy"] = "http://127.0.0.1:9"
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ""


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """One folder for all processes of the tests."""
    of_this_process = tmp_path_factory.getbasetemp()
    return of_this_process.parent if "PYTEST_XDIST_WORKER" in os.environ else of_this_process


@pytest.fixture(scope="session")
def data_dir(shared) -> str:
    """The project's own data folder if it holds the full MNIST, else an empty one: the offline digits."""
    if (ROOT / "data" / "MNIST" / "raw").is_dir():
        return str(ROOT / "data")
    (shared / "data").mkdir(exist_ok=True)
    return str(shared / "data")


@pytest.fixture(scope="session", autouse=True)
def read_once(data_dir):
    """The digits are read and their checksums computed once in this process, not for every training."""
    find, found = datasets.find_idx, {}

    def find_once(name: str, folder: Path) -> dict[str, bytes]:
        if name != "mnist" or str(folder) != data_dir:
            return find(name, folder)
        if not found:
            found.update(find(name, folder))
        return dict(found)

    datasets.find_idx = find_once
    yield
    datasets.find_idx = find


@pytest.fixture(scope="session", autouse=True)
def parse_once():
    """For every command line tyro looks for the source of Hyperparameters and of the classes that are made of it, and
    before Python 3.13 each time whole files are parsed for that: 0.1 s. The latter, of the module types, have none."""
    find = inspect.findsource
    find_once = functools.cache(find)

    def found(thing: object) -> tuple:
        if inspect.isclass(thing) and thing.__module__ == "types":
            raise OSError("could not find class definition")
        return find_once(thing) if inspect.isclass(thing) else find(thing)

    inspect.findsource = found
    yield
    inspect.findsource = find


def tensors(content: object, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint, by their path in it."""
    if isinstance(content, torch.Tensor):
        return {name: content}
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list | tuple):
        items = enumerate(content)
    else:
        return {}
    return {k: v for key, value in items for k, v in tensors(value, f"{name}/{key}").items()}


def assert_same_run(first: Path, second: Path) -> None:
    """Two runs ended with the same tensors, log and pictures."""
    a, b = (tensors(read_checkpoint(folder, None)) for folder in (first, second))
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different
    names = ["log.csv", "samples.png", *(f"samples/{p.name}" for p in (first / "samples").iterdir())]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.fixture
def command_line(tmp_path, monkeypatch, capfd, data_dir):
    """Call a script's command line in this process, in an empty folder; gives exit code, stdout, stderr.

    Its curves.png is an empty picture: the drawing takes longer than a short training. test_curves.py draws. An
    evaluation does few steps of its search for z: test_inversion.py does enough.
    """
    monkeypatch.setattr(inversion, "STEPS", 3)
    monkeypatch.setattr(log, "save_curves", lambda steps, columns, path, points=None: Image.new("L", (1, 1)).save(path))

    def call(script: str, *arguments: object, data: bool = True) -> tuple[int, str, str]:
        module = importlib.import_module(script)
        words = [str(a) for a in arguments]
        if data:
            words += ["--data-dir", data_dir]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *words])
        code = 0
        try:
            common.main(module.Hyperparameters, module.Generator, module.train)
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        return code, out, err

    return call


TINY = ("--steps", 6, "--batch-size", 8, "--sample-every", 3, "--log-every", 2, "--checkpoint-every", 4)


def small(script: str) -> tuple:
    """Flags that make a step of a script quick, if it has such fields."""
    fields = {field.name for field in dataclasses.fields(importlib.import_module(script).Hyperparameters)}
    few = {"n_G": 8, "n_D": 4, "head_start": 2, "width": 8, "hidden": 64, "G_hidden": 64, "D_hidden": 32}
    return tuple(word for name, value in few.items() if name in fields for word in (common.flag(name), value))


def wait_for(path: Path, seconds: float = 60) -> None:
    """Until a file is there."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.02)


def colour_shape(size: tuple[int, int], seed: int) -> Image.Image:
    """A coloured ellipse on a plain background."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[1], : size[0]]
    inside = ((x / size[0] - 0.5) ** 2 + (y / size[1] - 0.5) ** 2) < rng.uniform(0.05, 0.2)
    pixels = np.where(inside[..., None], rng.integers(0, 256, 3), rng.integers(0, 256, 3))
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="session")
def good(tmp_path_factory, data_dir):
    """A finished run of fgan.py, as bytes of its checkpoint."""
    import fgan

    folder = tmp_path_factory.mktemp("good") / "run"
    fgan.train(fgan.Hyperparameters(steps=4, batch_size=8, out=str(folder), data_dir=data_dir, width=4, hidden=16))
    return (folder / "checkpoint.pt").read_bytes()


@pytest.fixture(scope="session")
def forked():
    """Starts scripts as processes of their own, and quickly; forked.py says how."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no os.fork")
    server = Server()
    yield server
    server.close()


def pytest_collection_modifyitems(items: list) -> None:
    """First what needs the classifier: one process trains it, and no other waits for it."""
    items.sort(key=lambda item: "known" not in item.fixturenames)


@pytest.fixture(scope="session")
def known(data_dir, shared):
    """The real digits and their classifier, which one of the tests' processes trains for all."""
    with FileLock(shared / "classifier.lock"):
        return evaluate.reference_for("mnist", torch.Size((1, 28, 28)), data_dir, torch.device("cpu"))
