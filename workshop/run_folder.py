"""The folder of a run: taken, locked, an earlier run moved aside. Not here: what is written into it."""

import itertools
import shutil
from pathlib import Path

import filelock

from workshop.errors import UserError, first_line
from workshop.files import make_folder, write_file

HYPERPARAMETERS = "hyperparameters.json"
OF_A_RUN = (HYPERPARAMETERS, "checkpoint.pt", "log.csv", "curves.png", "samples", "samples.*", "training.gif")
BESIDE_IT = ("metrics.json", "evaluate.png", "events.out.tfevents.*", ".*.part", ".DS_Store", "Thumbs.db")


def take_folder(folder: Path, hyperparameters: bytes, resume: bool, overwrite: bool) -> filelock.FileLock:
    """Make `folder` this run's own: lock it, move an earlier run aside, write hyperparameters.json.

    The system releases the lock when the process ends, however it ends.
    """
    lock = lock_folder(folder)
    try:
        if not resume and folder.exists():
            make_room(folder, overwrite)
        make_folder(folder.resolve())
        write_file(folder / HYPERPARAMETERS, hyperparameters)  # first: it tells that the folder is a run's
        make_folder(folder.resolve() / "samples")
    except UserError:
        lock.release()
        raise
    return lock


def make_room(folder: Path, overwrite: bool) -> None:
    """Move the run that is in the folder aside, or delete it. Raises UserError if what is there is no run."""
    place = folder.resolve()  # of a link, what it leads to: the link stays one name of the new run's folder
    try:
        is_run = (place / HYPERPARAMETERS).exists()
        begun = f".{HYPERPARAMETERS}."  # of a run that was killed in the moment in which it began
        if not place.is_dir() or (not is_run and any(not p.name.startswith(begun) for p in place.iterdir())):
            raise UserError(f"{folder} holds something that is no run of these scripts: choose another --out")
        if is_run and Path.cwd().is_relative_to(place):
            raise UserError(f"{folder} holds a run and is where you stand: go elsewhere or choose another --out")
        if is_run and overwrite:
            refuse_to_delete_more(folder)
            going = place.with_name(f".{place.name}.deleted")  # moved first: half a run would be no run
            shutil.rmtree(going, ignore_errors=True)
            place.rename(going)
            shutil.rmtree(going)
        elif is_run:
            aside = next(p for n in itertools.count(1) if not (p := place.with_name(f"{place.name}.{n}")).exists())
            place.rename(aside)
            shown = aside if folder.is_symlink() or ".." in folder.parts else folder.with_name(aside.name)
            print(f"the earlier run in {folder} is now {shown} (to delete such runs: --overwrite)")
    except OSError as error:  # such as a file that another program holds open
        raise UserError(f"the run in {folder} can't be moved: {first_line(error)}: choose another --out") from error


def refuse_to_delete_more(folder: Path) -> None:
    """Raise UserError if something lies in the folder of a run that no run has written."""
    for path in sorted(folder.iterdir()):
        if not any(path.match(name) for name in (*OF_A_RUN, *BESIDE_IT)):
            raise UserError(
                f"{path} is of no run, and --overwrite would delete it: take it out, or leave --overwrite away"
                " (then the folder is moved aside)"
            )


def lock_folder(folder: Path) -> filelock.FileLock:
    """Hold the lock that lies beside the folder. Raises UserError if another run holds it.

    This thread may take it again, for then its earlier run is over: a notebook that shows how a cell failed keeps
    that run alive, and its lock.
    """
    try:
        place = folder.resolve()  # a link to it, or `out.` on Windows, is the same folder: one lock for all its names
        make_folder(place.parent)
        lock = filelock.FileLock(place.parent / f".{place.name}.lock", is_singleton=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"another run is writing into {folder}: wait for it or choose another --out") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, a file system without locks
        raise UserError(f"{folder} can't be locked: {first_line(error)}: choose another --out") from error
    return lock
