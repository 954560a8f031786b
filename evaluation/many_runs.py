"""Scripts trained with many seeds, each in a process of its own. Not here: what is measured on them."""

import os
import shlex
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from tqdm.auto import tqdm

from training.checkpoints import CHECKPOINT
from training.files import UserError, as_name, first_line


def train_seeds(targets: tuple[str, ...], seeds: int, flags: str, out: str, jobs: int) -> dict:
    """Train every target with the seeds 0, 1, …, `jobs` at a time. Returns target → list of run folders.

    A target is a script, or a script and flags of its own: "began.py --gamma 0.5". flags: more for all of them.
    A finished run that is already in `out` is used, an unfinished one is finished; if the script was changed after
    it, a line says so.
    """
    folders: dict[str, list[str]] = {}
    waiting: list[list[str]] = []
    older: list[str] = []
    for target in dict.fromkeys(targets):
        script, *own = [target] if Path(target).is_file() else split(target) or [""]
        if not Path(script).is_file() or Path(script).suffix != ".py":
            raise UserError(f"{target}: with --seeds the targets are scripts, such as began.py")
        name = as_name("-".join([Path(script).stem, *(word.removeprefix("--") for word in own)]), 150)
        for seed in range(seeds):
            folder = f"{out}/{name}-{seed}"
            if any(folder in runs for runs in folders.values()):
                raise UserError(f"{target}: its runs would be in {folder}, as another target's: rename the script")
            folders.setdefault(target, []).append(folder)
            words = [sys.executable, script, *own, *split(flags), "--seed", str(seed), "--out", folder]
            checkpoint = Path(folder) / CHECKPOINT
            waiting.append([*words, *["--resume"] * checkpoint.exists()])
            if checkpoint.exists() and checkpoint.stat().st_mtime < Path(script).stat().st_mtime:
                older.append(folder)
    if older:
        print(f"older than their scripts, but used as they are: {', '.join(older)}; to train anew delete them")
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **share_of_cores(jobs)}
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(waiting), desc="trainings", unit="") as bar:
        failed = threading.Event()

        def train(words: list[str]) -> None:
            if failed.is_set():  # this thread takes up the next one before it hears of the failure
                return
            done = subprocess.run(words, env=environment, capture_output=True, encoding="utf-8", check=False)
            if done.returncode:
                failed.set()
                print(done.stderr.strip(), file=sys.stderr)
                raise UserError(f"this training failed, as it says above: {shlex.join(words[1:])}")
            bar.update()

        list(pool.map(train, waiting))
    return folders


def share_of_cores(jobs: int) -> dict[str, str]:
    """Environment variables for each of `jobs` processes at a time: so many threads that all fit on the cores."""
    return {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // jobs))} if jobs > 1 else {}


def split(text: str) -> list[str]:
    """Words of a command line, as the shell of this system splits them: on Windows a backslash is part of a path."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    lexer.escape = "" if os.name == "nt" else lexer.escape
    try:
        return list(lexer)
    except ValueError as error:
        raise UserError(f"{text}: {first_line(error)}") from error
