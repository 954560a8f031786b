"""What a run shows in the terminal: lines of text, its bar, the command that goes on. Not here: when."""

import shlex
import sys

import torch
from tqdm.auto import tqdm

from workshop.processes import process


def say(text: str) -> None:
    """Print, in process 0 alone."""
    if process()[0] == 0:
        print(text, flush=True)


def where(device: torch.device, bfloat16: bool) -> str:
    """What a run computes on, in a few words."""
    words = [str(device), "bfloat16" if bfloat16 else "float32"]
    words += [f"{torch.get_num_threads()} threads"] * (device.type == "cpu")
    words += [f"{process()[1]} processes"] * (process()[1] > 1)
    return ", ".join(words)


def progress_bar(steps: int, done: int) -> tqdm:
    """Lively in a terminal or a notebook; in a pipe or a log file one line in 30 seconds."""
    lively = sys.stderr.isatty() or "ipykernel" in sys.modules
    pause = 0.1 if lively else 30
    return tqdm(
        total=steps,
        initial=done,
        unit="step",
        disable=process()[0] > 0,
        mininterval=pause,
        maxinterval=pause,
        dynamic_ncols=lively,
    )


def command() -> str:
    """The command line that started this run, without --resume and --overwrite."""
    words = [word for word in sys.argv[1:] if word not in ("--resume", "--overwrite")]
    processes = process()[1]
    launcher = "python" if processes == 1 else f"torchrun --nproc-per-node {processes}"
    return shlex.join([*launcher.split(), sys.argv[0], *words])
