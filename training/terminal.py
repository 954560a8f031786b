"""The terminal: reads flags; prints lines, the bar, the command that resumes a run; shows pictures in a notebook."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import torch
import tyro
from PIL import Image
from tqdm import tqdm as plain_tqdm
from tqdm.auto import tqdm

from training.files import first_line
from training.processes import rank, world_size


def read_flags(Options: type, program: str, doc: str | None):
    """The command line as an instance of a dataclass. A wrong flag, or --help, ends the program (exit code 2, 0).

    program: the name of the command; doc: the text whose first line says what it does.
    """
    for stream in (sys.stdout, sys.stderr):  # where γ can not be shown, ? is, in place of a traceback
        if hasattr(stream, "reconfigure"):  # not so in a notebook
            stream.reconfigure(errors="replace")
    try:
        return tyro.cli(Options, prog=program, description=first_line(doc) if doc else None)
    except BrokenPipeError:  # such as: python began.py --help | head -20
        go_on_unread(sys.stdout)
        sys.exit(1)
    except ValueError as error:  # of the dataclass's own checks: only the newest tyro tells them by itself
        print(f"{program}: {first_line(error)}", file=sys.stderr)
        sys.exit(2)


def say(text: str) -> None:
    """Print, in process 0 alone; in a terminal above the bar, if there is one."""
    if rank() == 0:
        write_line(sys.stdout, text, tqdm.write if sys.stderr.isatty() else print)


def write_line(stream: TextIO, text: str, write: Callable = print) -> None:
    """A line for a reader who may have gone: python began.py | tee log.txt, where Ctrl-C ends tee at once."""
    try:
        write(text, file=stream)
        stream.flush()
    except UnicodeEncodeError:  # PYTHONIOENCODING=ascii, where read_flags() is not called
        write_line(stream, text.encode("ascii", "replace").decode(), write)
    except BrokenPipeError:
        go_on_unread(stream)


def go_on_unread(stream: TextIO) -> None:
    """Throw away what is still to be printed, for nobody reads it; a training must not end by that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def where(device: torch.device, bfloat16: bool) -> str:
    """What a run computes on, in a few words."""
    words = [str(device), "bfloat16" if bfloat16 else "float32"]
    words += [f"{torch.get_num_threads()} threads"] * (device.type == "cpu")
    words += [f"{world_size()} processes"] * (world_size() > 1)
    return ", ".join(words)


def progress_bar(steps: int, done: int) -> tqdm:
    """Lively in a terminal or a notebook; lines of text in a pipe or a log file."""
    settings = {"total": steps, "initial": done, "unit": "step", "disable": rank() > 0}
    lively = sys.stderr.isatty() or in_notebook()
    return tqdm(**settings, dynamic_ncols=sys.stderr.isatty()) if lively else Lines(**settings)


class Lines(plain_tqdm):
    """A progress bar for what is no terminal: a line after some 8 seconds, then one every 30."""

    def __init__(self, **settings) -> None:
        line = "{n_fmt}/{total_fmt} steps, {rate_fmt}, {remaining} left{postfix}"
        # leave: the run's own last line is enough. miniters: with more, tqdm's monitor repeats each line after seconds
        super().__init__(**settings, file=sys.stderr, bar_format=line, leave=False, miniters=1)
        self.mininterval = self.maxinterval = 8

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if self.n > self.initial and msg != "":
            write_line(sys.stderr, msg or str(self))
            self.mininterval = self.maxinterval = 30


def in_notebook() -> bool:
    return "ipykernel" in sys.modules


def show(picture: Image.Image) -> None:
    """In a notebook: the picture, below the cell."""
    if in_notebook():
        from IPython.display import display  # there alone is it sure to be installed

        display(picture)


def how_to_resume(script: str) -> str:
    """What goes on with a stopped run: its command line and --resume, or words if another program called train()."""
    if Path(sys.argv[0]).stem != script:  # such as a notebook
        return "the same hyperparameters and resume=True"
    words = [word for word in sys.argv[1:] if word != "--resume"] + ["--resume"]
    processes = world_size()
    launcher = "python" if processes == 1 else f"torchrun --nproc-per-node {processes}"
    return quote([*launcher.split(), sys.argv[0], *words])


def quote(words: list[str]) -> str:
    """Words as one line for the shell of this system."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
