"""The folder of a run: taken, locked, an earlier run moved aside. Not here: what is written into it."""

import itertools
import shutil
from pathlib import Path

import filelock

from workshop.errors import UserError
from workshop.files import make_folder, write_file

HYPERPARAMETERS = "hyperparameters.json"


def take_folder(folder: Path, hyperparameters: bytes, resume: bool, overwrite: bool) -> filelock.FileLock:
    """Make `folder` this run's own: lock it, move an earlier run aside, write hyperparameters.json.

    The system releases the lock when the process ends, however it ends.
    """
    lock = lock_folder(folder)
    if not resume and folder.exists():
        is_run = (folder / HYPERPARAMETERS).exists()
        if not folder.is_dir() or (any(folder.iterdir()) and not is_run):
            raise UserError(f"{folder} holds something that is no run of these scripts: choose another --out")
        if is_run and overwrite:
            shutil.rmtree(folder)
        elif is_run:
            aside = next(p for n in itertools.count(1) if not (p := folder.with_name(f"{folder.name}.{n}")).exists())
            folder.rename(aside)
            print(f"the earlier run in {folder} is now {aside} (to delete such runs: --overwrite)")
    make_folder(folder / "samples")
    write_file(folder / HYPERPARAMETERS, hyperparameters)
    return lock


def lock_folder(folder: Path) -> filelock.FileLock:
    """Hold the lock that lies beside the folder. Raises UserError if another run holds it."""
    place = folder.absolute()
    make_folder(place.parent)
    lock = filelock.FileLock(place.parent / f".{place.name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"another run is writing into {folder}: wait for it or choose another --out") from None
    except OSError as error:
        raise UserError(f"{folder} can't be written: {error.strerror}: choose another --out") from error
    return lock
