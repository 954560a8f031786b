"""The Nth write, fsync, rename, mkdir or open fails, for every N: one line, no traceback, the checkpoint whole.

python -m benchmarks.fault_injection                   every N of a short run, of its continuation and of an evaluation
python -m benchmarks.fault_injection --every 7         every seventh one
"""

import builtins
import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import common
import evaluate
import fgan
from benchmarks.measuring import command
from training.earlier import read_checkpoint
from training.files import UserError
from training.terminal import read_flags

KINDS = ("open", "write", "fsync", "rename", "mkdir")


@dataclass(kw_only=True)
class Options:
    """How thoroughly."""

    every: int = 1
    """Of so many operations one fails."""

    def __post_init__(self) -> None:
        common.require(self.every >= 1, "--every", self.every, "at least 1")


class Disk:
    """Counts what is done below a folder, and lets one of it fail."""

    def __init__(self, folder: Path, kind: str, fails: int) -> None:
        """kind: one of KINDS; fails: the number of the one that fails, from 1 on; 0: none."""
        self.folder, self.kind, self.fails, self.count = str(folder.resolve()), kind, fails, 0

    def note(self, kind: str, place: object) -> None:
        inside = isinstance(place, str | os.PathLike) and os.path.abspath(place).startswith(self.folder)
        if kind == self.kind and (inside or place is None):
            self.count += 1
            if self.count == self.fails:
                raise OSError(28, "No space left on device", str(place))

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Within: the system's functions are ours."""
        real = {(module, name): getattr(module, name) for module, name in self.replaced()}
        try:
            for (module, name), function in real.items():
                setattr(module, name, self.replaced()[module, name](function))
            yield
        finally:
            for (module, name), function in real.items():
                setattr(module, name, function)

    def replaced(self) -> dict[tuple, Callable]:
        def counted(kind: str) -> Callable:
            def wrap(function: Callable) -> Callable:
                def call(place: object, *arguments, **keywords) -> object:
                    self.note(kind, place if kind != "fsync" else None)
                    return function(place, *arguments, **keywords)

                return call

            return wrap

        def opening(function: Callable) -> Callable:
            def call(place: object, *arguments, **keywords) -> object:
                self.note("open", place)
                stream = function(place, *arguments, **keywords)
                if isinstance(stream, io.BufferedWriter | io.TextIOWrapper) and stream.writable():
                    return Stream(stream, lambda: self.note("write", place))
                return stream

            return call

        names = {(os, "fsync"): "fsync", (os, "replace"): "rename", (os, "rename"): "rename", (os, "mkdir"): "mkdir"}
        found = {key: counted(kind) for key, kind in names.items()}
        return found | {(io, "open"): opening, (builtins, "open"): opening}


class Stream:
    """A file that is told of before each write."""

    def __init__(self, stream: io.IOBase, before: Callable[[], None]) -> None:
        self.stream, self.before = stream, before

    def write(self, content: object) -> int:
        self.before()
        return self.stream.write(content)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *problem: object) -> None:
        self.stream.close()


def run_once(program: Callable[[], None], words: list[str]) -> tuple[int, str]:
    """Exit code and the last line of stderr of a command in this process."""
    argv, sys.argv = sys.argv, words
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            program()
        return 0, ""
    except SystemExit as stop:
        said = err.getvalue().strip().splitlines() if isinstance(stop.code, int) else [str(stop.code)]
        return stop.code if isinstance(stop.code, int) else 1, said[-1] if said else ""
    finally:
        sys.argv = argv


def prepare(folder: Path) -> None:
    """200 small images to learn from."""
    (folder / "pics").mkdir()
    rng = np.random.default_rng(0)
    for i in range(200):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / f"pics/{i}.png")


def train() -> None:
    common.main(fgan.Hyperparameters, fgan.Generator, fgan.train)


RUN = {"--data": "pics", "--image-size": 8, "--data-dir": "kept", "--out": "run", "--batch-size": 8, "--device": "cpu"}
RUN |= {"--width": 4, "--hidden": 8} | dict.fromkeys(("--sample-every", "--log-every", "--checkpoint-every"), 2)
RUN = [str(word) for pair in RUN.items() for word in pair]
KEPT = ["--data-dir", "kept"]
PROGRAMS = {
    "a run": (train, ["fgan.py", *RUN, "--steps", "4"]),
    "its continuation": (train, ["fgan.py", *RUN, "--steps", "8", "--resume"]),
    "its samples": (train, ["fgan.py", *RUN, "--sample", "4"]),
    "an evaluation": (evaluate.main, ["evaluate.py", "run", "--samples", "100", *KEPT, "--table", "t.csv"]),
}


def inject(start: Path, program: str, kind: str, fails: int) -> tuple[int, str]:
    """In a copy of the folder `start`. Returns how many operations there were, and what was wrong, "" if nothing."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    here = Path.cwd()
    try:
        shutil.copytree(start, folder, dirs_exist_ok=True)
        os.chdir(folder)
        before = step_of(folder)
        disk = Disk(folder, kind, fails)
        try:
            with disk.failing():
                code, line = run_once(*PROGRAMS[program])
        except Exception as error:  # what would be a traceback
            return disk.count, f"{type(error).__name__}: {error}"
        if code and (code != 1 or not fails or not line.startswith(("fgan.py", "evaluate.py"))):
            return disk.count, f"exit code {code}, {line!r}"
        after = step_of(folder)
        if after < before:
            return disk.count, f"the checkpoint is at step {after}, was at {before}"
        return disk.count, ""
    finally:
        os.chdir(here)
        shutil.rmtree(folder, ignore_errors=True)


def step_of(folder: Path) -> int:
    """The step of the run's checkpoint; 0 if there is none. Raises UserError if it is not whole."""
    return read_checkpoint(folder / "run", None)["step"] if (folder / "run/checkpoint.pt").exists() else 0


def faults(every: int, programs: tuple[str, ...] = tuple(PROGRAMS), kinds: tuple[str, ...] = KINDS) -> list[str]:
    """A line for each operation whose failure was not met as it should be."""
    bad = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        here = Path.cwd()
        for program in PROGRAMS:
            for kind in kinds if program in programs else ():
                count, problem = inject(folder, program, kind, 0)
                if problem:
                    raise UserError(f"{program} fails on a sound disk: {problem}")
                numbers = range(1, count + 1, every)
                for number in numbers:
                    problem = inject(folder, program, kind, number)[1]
                    bad += [f"{program}, {kind} number {number} of {count}: {problem}"] if problem else []
                print(f"{program}, {kind}: {len(numbers)} of {count} have failed", flush=True)
            if program in ("a run", "its continuation"):
                os.chdir(folder)
                run_once(*PROGRAMS[program])
                os.chdir(here)
    return bad


@command
def main() -> None:
    options = read_flags(Options, "python -m benchmarks.fault_injection", __doc__)
    bad = faults(options.every)
    print("\n".join(bad) if bad else "each was met with one line or did no harm, and the checkpoint was whole")
    if bad:
        raise UserError(f"{len(bad)} were not")


if __name__ == "__main__":
    main()
