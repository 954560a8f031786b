"""The runs that are there: what differs, how far they are, how good. Not here: measuring them."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

from evaluation.results import in_table
from training.checkpoints import CHECKPOINT, HYPERPARAMETERS, fixed_part
from training.earlier import read_checkpoint
from training.files import UserError

METRICS = "metrics.json"


def print_runs(root: Path, hyperparameters_of: Callable[[str], type]) -> None:
    """One line for each run below `root`, the newest last: folder, script, steps, FID if it was measured, when, what
    differs from the script's defaults.

    hyperparameters_of: the Hyperparameters of a script by its name; UserError if there is none.
    """
    folders = sorted({path.parent for path in root.glob(f"**/{HYPERPARAMETERS}")}, key=last_written)
    if not folders:
        print(f"no runs in {root}: train one (python dcgan.py), or name a folder, an .npz file or images")
        return
    lines = [("run", "script", "steps", "fid", "written", "differs from the defaults")]
    lines += [described(folder, hyperparameters_of) for folder in folders]
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    for line in lines:
        print("  ".join([*(word.ljust(width) for word, width in zip(line, widths)), line[5]]).rstrip())
    print(f"{len(folders)} runs in {root}; to measure: python evaluate.py RUN …; all that is measured: --help")


def last_written(folder: Path) -> float:
    paths = [folder / CHECKPOINT, folder / HYPERPARAMETERS]
    return max(path.stat().st_mtime for path in paths if path.exists())


def described(folder: Path, hyperparameters_of: Callable[[str], type]) -> tuple[str, ...]:
    """The cells of a run's line."""
    written = time.strftime("%Y-%m-%d %H:%M", time.localtime(last_written(folder)))
    try:
        checkpoint = read_checkpoint(folder, None)
    except UserError as error:
        missing = "no checkpoint yet" if not (folder / CHECKPOINT).exists() else str(error)
        return str(folder), "", "", "", written, missing
    settings, script = checkpoint["hyperparameters"], checkpoint["script"]
    steps = f"{checkpoint['step']} of {settings.get('steps', '?')}"
    numbers = {}
    with contextlib.suppress(OSError, ValueError):
        numbers = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    fid = numbers.get("fid") if isinstance(numbers, dict) else None
    if fid is None and isinstance(numbers, dict) and numbers.get("fid_random") is not None:
        shown = f"{in_table(numbers['fid_random'])} (fid_random)"
    else:
        shown = in_table(fid)
    try:
        words = not_default(settings, hyperparameters_of(script))
    except UserError:
        words = ["its script is not here"]
    return str(folder), f"{script}.py", steps, shown, written, ", ".join(words)


def not_default(settings: dict, Hyperparameters: type) -> list[str]:
    """The settings that are not the script's defaults, without what the data decides."""
    defaults = {field.name: field.default for field in dataclasses.fields(Hyperparameters)}
    automatic = {name for name in ("image_size", "channels") if defaults.get(name) == 0}
    theirs = {name: value for name, value in fixed_part(settings).items() if name not in automatic}
    return [f"{name} {value}" for name, value in theirs.items() if name in defaults and value != defaults[name]]
