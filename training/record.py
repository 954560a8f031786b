"""The folder of a run: taken and locked; what is written into it, and when. Not here: the training, what is done with
an earlier run (earlier.py)."""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import filelock
from PIL import Image
from torch import Tensor, nn

from training.checkpoints import CHECKPOINT, HYPERPARAMETERS, Parts, require_finite, save_checkpoint
from training.files import Diverged, UserError, first_line, make_folder, write_file
from training.log import Log
from training.pictures import Drawings, Spread, grid, save_animation, save_picture, some, to_uint8
from training.processes import main_process_first, rank
from training.terminal import say, say_what_comes_next, show

EARLY = (10, 20, 50, 100)  # steps that have a grid whatever --sample-every: G changes most at first


def take_folder(folder: Path, hyperparameters: bytes, resume: bool) -> filelock.FileLock:
    """Make `folder` this run's own: lock it, move an earlier run aside, write hyperparameters.json.

    The system releases the lock when the process ends, however it ends.
    """
    lock = lock_folder(folder)
    try:
        if not resume and folder.exists():
            from training.earlier import make_room  # here, for a new run needs none of it

            make_room(folder)
        make_folder(folder.resolve())
        write_file(folder / HYPERPARAMETERS, hyperparameters)  # first: it tells that the folder is a run's
        make_folder(folder.resolve() / "samples")
    except UserError:
        lock.release()
        raise
    return lock


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


class Record:
    """The record of one run, in the folder `hp.out`. All processes call its methods together; process 0 alone writes.

    hp: the run's hyperparameters; about: what a checkpoint says of the run besides, by name; parts: what the
    training changes, by name; samples(seed, n): G's images for the noise of a seed, N×C×H×W in [-1, 1]; real: the
    training images.
    """

    def __init__(self, hp, about: dict, parts: Parts, samples: Callable[[int, int], Tensor], real: Tensor) -> None:
        """Take the folder. Raises UserError if it can't be used."""
        self.hp, self.parts, self.folder, self.samples = hp, parts, Path(hp.out), samples
        self.about = {**about, "hyperparameters": dataclasses.asdict(hp)}
        settings = json.dumps(self.about["hyperparameters"], indent=2).encode()
        with main_process_first():
            self.lock = take_folder(self.folder, settings, hp.resume) if rank() == 0 else None
        self.spread, self.drawings, self.real = Spread(real), Drawings(), real
        self.log = Log(self.folder, hp.log_every)
        self.board = self.fid = None  # with --tensorboard, with --fid-every: from begin() on
        if rank() == 0:  # before all else: is the crop what one meant?
            save_picture(grid(some(real, 64)), self.folder / "real.png")

    def begin(self, step: int, made_by: dict) -> None:
        """Before the first step, or after `step` steps that are restored. made_by: what a reader of the run's numbers
        needs to trust them, for run.json; run-1000.json is that of a run resumed after step 1000."""
        if rank() == 0:
            name = f"run-{step}.json" if step else "run.json"
            write_file(self.folder / name, json.dumps(made_by, indent=2).encode())
        self.log.start_file()
        with contextlib.suppress(OSError):  # of an earlier end of this run; what lacks it is not finished
            (self.folder / "training.gif").unlink(missing_ok=True)
        self.spread.remark(self.hp.batch_size)
        if self.hp.tensorboard and rank() == 0:
            from training.board import Board  # here, for its import takes seconds

            self.board = Board(self.folder, self.about["hyperparameters"], step)
        self.fid = fid_curve(self, step) if self.hp.fid_every and rank() == 0 else None
        if step == 0:
            self.save_grid(0)

    def after_step(self, step: int, seconds: float, stop: bool) -> dict[str, float] | None:
        """Write what is due. Returns the new row of the log, if there is one. Raises UserError if a run diverges."""
        last, row = step == self.hp.steps, None
        try:
            if step % self.hp.log_every == 0 or last:
                row = self.log.write_row(step)
                if self.board is not None:
                    self.board.values(row, step)
            if step % self.hp.sample_every == 0 or step in EARLY or last:
                self.save_grid(step)
            if self.fid is not None:  # before a checkpoint of the same step, so that a resumed run has the point, too
                self.fid.after_step(step)
            if step % self.hp.checkpoint_every == 0 or last or stop:
                self.save_checkpoint(step, seconds)
                if last or stop or seconds > self.log.drawn + 60:  # drawing takes a third of a second
                    self.log.draw(seconds)
        except Diverged as error:
            give_up(error, self.log, self.folder)
        return row

    def save_grid(self, step: int) -> None:
        """samples/STEP.png: always of the same 64 noise vectors, so that the pictures can be compared. And what the
        script draws in this step."""
        if rank() == 0:
            images = to_uint8(self.samples(self.hp.seed, 64))
            self.spread.look(images, step, step == self.hp.steps)
            networks = [part for part in self.parts.values() if isinstance(part, nn.Module)]
            drawn = self.drawings.draw(step, networks)
            for name, picture in {"samples": grid(images), **drawn}.items():
                make_folder(self.folder / name)
                save_picture(picture, self.folder / name / f"{step:06d}.png")
                if self.board is not None:
                    self.board.picture(name, picture, step)
            for name, picture in drawn.items():
                save_picture(picture, self.folder / f"{name}.png")

    def save_checkpoint(self, step: int, seconds: float) -> None:
        """checkpoint.pt, if all weights and all logged values are finite."""
        self.log.fetch(step)
        require_finite(self.parts, step)
        if rank() == 0:
            content = {**self.about, "step": step, "seconds": seconds, "log": self.log.state()}
            save_checkpoint(self.folder, self.parts, content)

    def finish(self, step: int, seconds: float) -> None:
        """The last pictures of a run that has done all its steps, its last numbers, and what to do next."""
        if rank() > 0:
            return
        save_picture(self.show(), self.folder / "samples.png")
        grids = [p for p in (self.folder / "samples").glob("*.png") if p.stem.isdecimal() and int(p.stem) <= step]
        save_animation({int(p.stem): p for p in grids}, self.folder / "training.gif")
        numbers = self.log.latest()
        if self.board is not None:
            self.board.end(numbers)
        say_the_end(self, step, seconds, numbers)

    def show(self) -> Image.Image:
        """100 samples as they are now. In a notebook they appear below the cell, with what the script drew last."""
        picture = grid(self.samples(self.hp.sample_seed, 100))
        for each in (picture, *self.drawings.last.values()):
            show(each)
        return picture

    def close(self) -> None:
        """However the run has ended: give the folder back, let TensorBoard write what it still holds."""
        if self.lock is not None:
            self.lock.release()
        if self.board is not None:
            self.board.close()


def give_up(reason: Diverged, log: Log, folder: Path) -> None:
    """Stop because the training has diverged. All processes come here together; the first one says why."""
    if rank() > 0:
        raise SystemExit(1)
    log.draw()
    kept = folder / CHECKPOINT
    kept = f"{kept} holds the last good checkpoint" if kept.exists() else "there is no checkpoint yet"
    raise UserError(f"{reason}: stopped; {kept}. Try a lower learning rate or another --seed")


def say_the_end(record: Record, step: int, seconds: float, numbers: dict[str, float]) -> None:
    """The last numbers of a run, what to look at, what comes next."""
    in_words = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
    say(f"{step} steps in {seconds:.0f} s: {in_words}")
    drawn = [f"{name}.png" for name in record.drawings.last]
    also = [name for name in (*drawn, "curves.png", "training.gif") if (record.folder / name).exists()]
    say(f"see {', '.join([str(record.folder / 'samples.png'), *also])} there")
    say_what_comes_next(record.about["script"], record.hp)


def fid_curve(record: Record, step: int):
    """The FID while a run trains. The one import of evaluation/ in training/, and late: without --fid-every a training
    loads no metric."""
    from evaluation.curve import FidCurve

    curve = FidCurve(record.hp, record.real, record.samples, step)
    record.log.points[curve.name] = curve.steps, curve.values  # drawn beside the losses
    curve.board = record.board
    return curve
