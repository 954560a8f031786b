"""The terminal: reads flags; prints lines, the bar, the command that resumes a run; shows pictures in a notebook."""

import dataclasses
import inspect
import os
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import torch
import tyro
from PIL import Image
from tqdm import tqdm as plain_tqdm
from tqdm.auto import tqdm

from training.files import first_line, flag
from training.processes import rank, world_size

ELSEWHERE = {  # a field of ours: what other projects call it
    "steps": "epochs n_epochs num_epochs niter n_iter iterations max_steps",
    "batch_size": "batch bs batchsize b_size",
    "z_dim": "latent_dim latent_size noise_dim nz",
    **{"lr": "learning_rate", "lr_G": "lr learning_rate", "lr_D": "lr learning_rate"},
    "device": "gpu gpus gpu_id cuda no_cuda cpu",
    **{"data": "dataset dataroot data_path", "image_size": "img_size resolution"},
    "out": "outdir outf output output_dir save_dir",
}


def read_flags(Options: type, program: str, doc: str | None):
    """The command line as an instance of a dataclass. A wrong flag, or --help, ends the program (exit code 2, 0).

    program: the name of the command; doc: the text whose first line says what it does. The help has the headings of
    the dataclass, if its file has some: a comment such as "# The game" above fields, and a text below each.
    """
    for stream in (sys.stdout, sys.stderr):  # where γ can not be shown, ? is, in place of a traceback
        if hasattr(stream, "reconfigure"):  # not so in a notebook
            stream.reconfigure(errors="replace")
    about = {"prog": program, "description": first_line(doc) if doc else None}
    try:
        whole = dataclasses.is_dataclass(Options)  # else one of several, each with its own word
        if whole:
            refuse_names_of_elsewhere({field.name for field in dataclasses.fields(Options)})
        if not (whole and (groups := by_heading(Options))):
            return tyro.cli(Options, **about)
        together = dataclasses.make_dataclass("Flags", groups.items())
        read = tyro.cli(tyro.conf.OmitArgPrefixes[together], **about)
        return Options(**{name: value for group in groups for name, value in vars(getattr(read, group)).items()})
    except BrokenPipeError:  # such as: python began.py --help | head -20
        go_on_unread(sys.stdout)
        sys.exit(1)
    except ValueError as error:  # of the dataclass's own checks
        print(f"{program}: {' '.join(str(error).splitlines())}", file=sys.stderr)
        sys.exit(2)


def refuse_names_of_elsewhere(names: set[str]) -> None:
    """Raise ValueError that names our flag, if the command line has another project's."""
    for word in sys.argv[1:]:
        theirs = word.split("=")[0].removeprefix("--").replace("-", "_").lower()
        ours = [flag(name) for name, others in ELSEWHERE.items() if name in names and theirs in others.split()]
        if word.startswith("--") and theirs not in names and ours:
            raise ValueError(f"{word}: here it is {' and '.join(ours)} (--help says what each flag means)")


FIELD = re.compile(r'^    (?:# (.+)|(\w+): .+\n    """([\s\S]*?)""")$', re.M)  # a heading, or a name and its meaning


def by_heading(Options: type) -> dict[str, type]:
    """A dataclass for each heading of a dataclass, its own before those that it inherits; none if it has no heading.

    tyro prints a box for each. Made by hand, for tyro itself would neither split a dataclass nor find its texts then.
    """
    kinds, texts = typing.get_type_hints(Options, include_extras=True), {}
    for owner in (cls for cls in Options.__mro__ if dataclasses.is_dataclass(cls)):
        heading = "more"
        for above, name, meaning in FIELD.findall(inspect.getsource(owner)):
            heading = above or heading
            texts |= {name: (heading, inspect.cleandoc(meaning))} if name and name not in texts else {}
    groups: dict[str, list[tuple]] = {}
    for field in sorted(dataclasses.fields(Options), key=lambda field: [*texts, field.name].index(field.name)):
        heading, meaning = texts.get(field.name, ("more", None))
        kind = typing.Annotated[kinds[field.name], tyro.conf.arg(help=meaning)]
        same = dataclasses.field(default=field.default, default_factory=field.default_factory, kw_only=True)
        groups.setdefault(re.sub(r"\W+", "_", heading).lower(), []).append((field.name, kind, same))
    return {} if set(groups) == {"more"} else {name: dataclasses.make_dataclass(name, groups[name]) for name in groups}


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
    """Whether a Jupyter kernel runs us; to be imported by something is not enough."""
    return hasattr(getattr(sys.modules.get("IPython"), "get_ipython", object)(), "kernel")


def show(picture: Image.Image, otherwise: Callable[[Image.Image], object] | None = None) -> None:
    """In a notebook: the picture, below the cell. Elsewhere what `otherwise` does with it."""
    if in_notebook():
        from IPython.display import display  # there alone is it sure to be installed

        display(picture)
    elif otherwise is not None:
        otherwise(picture)


def command_line(script: str) -> list[str]:
    """The words that started this program; none if another one, such as a notebook, called train()."""
    if Path(sys.argv[0]).stem != script:
        return []
    processes = world_size()
    launcher = ["python"] if processes == 1 else ["torchrun", "--nproc-per-node", str(processes)]
    return [*launcher, *sys.argv]


def how_to_resume(script: str) -> str:
    """What goes on with a stopped run: its command line and --resume, or words if another program called train()."""
    words = command_line(script)
    if not words:
        return "the same hyperparameters and resume=True"
    return quote([word for word in words if word != "--resume"] + ["--resume"])


def say_what_comes_next(script: str, hp) -> None:
    """What uses a finished run: two commands, or two lines of Python in a notebook."""
    folder = str(Path(hp.out))
    if in_notebook():
        say(f"next: import common; run = common.load({folder!r}); images = run.sample(1000)")
        say("next: import evaluate; evaluate.measure(run)")
        return
    data = ["--data-dir", hp.data_dir] * (hp.data_dir != type(hp).data_dir)
    for words in (["evaluate.py", folder, *data], [f"{script}.py", "--out", folder, "--sample", "1000"]):
        say(f"next: {quote(['python', *words])}")


def quote(words: list[str]) -> str:
    """Words as one line for the shell of this system."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
