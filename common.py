"""What all lessons need, and no paper is about: real images, noise, pictures, a run from its first step to its last.

    load_images          a Dataset: MNIST (or its offline digits), others, a folder of images; uint8 N×C×H×W
    noise, generate      sampling: z, and G's images for it (noise_from_seed: always the same z; generate_uint8: bytes)
    grid                 images side by side, as a picture
    Options              the flags that all scripts share
    main                 the command line: a script's hyperparameters from flags, then train or sample
    Run                  one training: real(), noise(), epsilon(), steps(), log(), picture(), result()
    Result, load         a run when it is done: what train() returns; the same from its folder
    EMA, average_gradients, mean_over_processes, autocast    what several scripts use

Everything that a network sees or makes is a float tensor N×C×H×W in [-1, 1].
What happens behind these lines (files, checkpoints, signals …) is in training/, a small file for each subject:
`training/__init__.py` is the list. The learning rates, and all else that a paper is about, are in the scripts.
"""

import contextlib
import dataclasses
import importlib
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from training import checkpoints, machine, processes, terminal
from training.datasets import BUILT_IN, Dataset, load_built_in, meant
from training.ema import EMA
from training.files import UserError, can_be_a_path, flag, require
from training.log import columns
from training.machine import autocast, forward_passes
from training.pictures import checksum, grid, to_float, to_uint8
from training.processes import average_gradients, mean_over_processes, share
from training.record import Record
from training.sampling import Result, generate, generate_uint8, noise, noise_from_seed, walk
from training.terminal import how_to_resume, progress_bar, read_flags, say, where

# Some are imported only so that scripts can call them as common.NAME
__all__ = ["EMA", "autocast", "average_gradients", "flag", "forward_passes", "generate_uint8", "grid"]
__all__ += ["Result", "mean_over_processes", "require", "to_uint8", "walk"]


@dataclass(kw_only=True)
class Options:
    """What every script can be told besides its own hyperparameters."""

    # The data
    data: str = "mnist"
    """The real images: mnist, fashion-mnist, or the path of a folder of images."""
    data_dir: str = "data"
    """Folder in which data sets are kept and looked for."""
    image_size: int = 0
    """Height = width in pixels. 0: 28 for mnist and fashion-mnist, 64 for a folder."""
    channels: Literal[0, 1, 3] = 0
    """1 is grey, 3 is colour. 0: as the data is."""

    # The run
    out: str | None = None
    """Folder of the run. None: out/began for began.py, and so on. A run that is already there is kept: it moves to
    NAME.1, NAME.2, …"""
    resume: bool = False
    """Go on from the checkpoint in the folder, up to --steps in all."""
    sample_every: int = 250
    """Generator updates between two sample grids."""
    log_every: int = 50
    """Generator updates per row of log.csv; a row is the mean over them."""
    checkpoint_every: int = 1000
    """Generator updates between two checkpoints: the most that a power failure can cost."""
    fid_every: int = 0
    """Above 0: generator updates between two points of the FID of 2,000 samples, in fid.csv and curves.png."""
    tensorboard: bool = False
    """Also write what is logged, the grids and the hyperparameters for `tensorboard --logdir out`."""

    # Samples of a finished run
    sample: int = 0
    """Above 0: no training; write this many images from the run's checkpoint to samples.npz and .png."""
    sample_seed: int = 0
    """Seed of the noise for --sample and for samples.png."""
    png: bool = False
    """With --sample: also each image as a picture of its own, in the folder `generated` of the run."""
    walk: bool = False
    """With --sample: also walk.gif, ways through the noise that end where they begin."""

    # The machine
    device: str = "auto"
    """Where to compute: cpu, cuda, mps, or cuda:1 for the second of several GPUs. auto: cuda, else mps, else cpu."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products and convolutions. auto: bfloat16 on a CPU with AMX."""

    def __post_init__(self) -> None:
        """Make values plain, refuse those out of range. Raises ValueError, one line on the command line."""
        checkpoints.make_plain(self)
        if self.out is None:
            self.out = f"out/{script_name(type(self))}"
        for name in ("data", "data_dir", "out"):  # a shell leaves the ~ of --data=~/pictures as it is
            value = os.path.expanduser(getattr(self, name))
            require(can_be_a_path(value), flag(name), repr(value), "the name of a folder")
            setattr(self, name, value)
        there = self.data in BUILT_IN or os.path.isdir(self.data)
        allowed = f"one of {', '.join(BUILT_IN)}, or an existing folder of images{meant(self.data)}"
        require(there, "--data", self.data, allowed)
        require(self.image_size in (0, *range(8, 1025)), "--image-size", self.image_size, "0 (automatic) or 8 to 1024")
        require(re.fullmatch(machine.DEVICES, self.device), "--device", self.device, "auto, cpu, cuda, cuda:N or mps")
        require(self.sample >= 0, "--sample", self.sample, "0 (train) or a number of images")
        asked = [flag(name) for name in ("png", "walk") if getattr(self, name)]
        require(self.sample > 0 or not asked, " ".join(asked), "without --sample", "given with --sample N")
        require(self.fid_every >= 0, "--fid-every", self.fid_every, "0 (never) or a number of generator updates")
        for name in ("steps", "n_critic", "z_dim", "width", *checkpoints.INTERVALS):
            require(getattr(self, name, 1) >= 1, flag(name), getattr(self, name, 1), "at least 1")
        require(getattr(self, "batch_size", 2) >= 2, "--batch-size", getattr(self, "batch_size", 2), "at least 2")
        for name in ("seed", "sample_seed"):
            require(0 <= getattr(self, name, 0) < 2**63, flag(name), getattr(self, name, 0), "0 or more, below 2⁶³")
        for name in ("lr", "lr_G", "lr_D"):
            require(0 < getattr(self, name, 1) < math.inf, flag(name), getattr(self, name, 1), "above 0")
        for name in ("ema", "betas"):
            decays = getattr(self, name, 0)
            inside = all(0 <= decay < 1 for decay in (decays if isinstance(decays, tuple) else (decays,)))
            require(inside, flag(name), decays, "in [0, 1)")
        if self.data not in BUILT_IN:  # else the run's own pictures would be training images
            inside = Path(self.out).resolve().is_relative_to(Path(self.data).resolve())
            require(not inside, "--out", self.out, f"outside of --data {self.data}")


def load_images(
    data: str = "mnist", data_dir: str = "data", image_size: int = 0, channels: int = 0, train: bool = True
) -> Dataset:
    """Load real images, downloading or preparing them first where needed.

    `train`: those to learn from, or those held out (of a folder all). Raises UserError if they can't be had.
    """
    if os.path.lexists(data_dir) and not os.path.isdir(data_dir):
        raise UserError(f"--data-dir {data_dir} is not a folder: name one, or a place where one can be made")
    if data in BUILT_IN:
        return load_built_in(data, Path(data_dir), image_size, channels, train)
    from training.folders import load_folder  # here, for few runs have a folder of their own

    return load_folder(Path(data), Path(data_dir), image_size or 64, channels)


def load(folder: str | Path, device: str = "cpu") -> Result:
    """A run from its folder, as its last checkpoint has it. Raises UserError if there is none that fits its script."""
    from training.earlier import load_generator, read_checkpoint  # here and below, for a new run needs none of it

    checkpoint = read_checkpoint(Path(folder), None)
    script, step, seconds, data, log = (checkpoint[name] for name in ("script", "step", "seconds", "data", "log"))
    known = script.isidentifier() and Path(__file__).with_name(f"{script}.py").exists()
    if not hasattr(module := importlib.import_module(script) if known else None, "Generator"):
        raise UserError(f"{folder} holds a run of {script!r:.50}, and there is no such script beside common.py")
    device = machine.choose_device(device)
    G, hp = load_generator(checkpoint, module.Hyperparameters, module.Generator, device)
    return Result(script, hp, step, seconds, Path(folder), data, G, columns(log, step))


class Run:
    """One training: its data, its noise, and the loop over its steps.

    hp is a copy with image_size and channels filled in from the data; step is the last one that is done.
    """

    def __init__(self, hp: Options) -> None:
        """Load the data, take the folder `hp.out` and seed the initial weights. Raises ValueError for what the command
        line would refuse, UserError if data or folder can't be had."""
        self.hp = hp = dataclasses.replace(hp)  # what makes the copy is the constructor: so it is checked again
        if hp.batch_size % (n := processes.world_size()) or hp.batch_size < 2 * n:  # BatchNorm needs two images
            count = f"the {n} processes that share it, two images each at least"
            raise UserError(f"--batch-size {hp.batch_size}: must be a multiple of {count}")
        self.script, self.folder = script_name(type(hp)), Path(hp.out)
        self.device = machine.choose_device(hp.device)
        self.bfloat16 = machine.use_bfloat16(hp.precision, self.device)
        machine.prepare_machine(self.device)
        self.checkpoint = None
        if hp.resume:
            from training.earlier import read_checkpoint, refuse_other_run

            self.checkpoint = read_checkpoint(self.folder, self.script)
        with processes.main_process_first():
            self.dataset = dataset = load_images(hp.data, hp.data_dir, hp.image_size, hp.channels)
        hp.channels, hp.image_size = dataset.images.shape[1:3]
        self.images = dataset.images.to(self.device if dataset.mapping is None else "cpu")
        if hp.resume:
            refuse_other_run(self.checkpoint, hp, dataset, self.folder)
        about = dict(script=self.script, data=dataset.source, images=len(dataset.images), identity=dataset.identity)
        self.parts: dict[str, nn.Module | torch.optim.Optimizer | Tensor] = {}  # filled by steps(); record has the same
        self.record = Record(hp, about, self.parts, self.samples, self.images)
        self.step, self.seconds = 0, 0.0
        machine.seed_everything(hp.seed, 0)

    def real(self) -> Tensor:
        """x: this process's share of a batch of real images, N×C×H×W in [-1, 1].

        Each image is drawn independently, as the papers' algorithms have it, not by epochs.
        """
        index = share(torch.randint(len(self.images), (self.hp.batch_size,), device=self.images.device))
        return to_float(self.images.index_select(0, index).to(self.device))

    def noise(self) -> Tensor:
        """z: this process's share of a batch of noise, N×z_dim in [-1, 1]."""
        return share(noise(self.hp.batch_size, self.hp.z_dim, self.device))

    def epsilon(self) -> Tensor:
        """ε ~ U(0, 1), one per sample of this process's share: N×1×1×1."""
        return share(torch.rand(self.hp.batch_size, 1, 1, 1, device=self.device))

    def log(self, **values: Tensor | float) -> None:
        """Note values of this step, once per step and by the same names; a row of log.csv is their mean."""
        self.record.log.note(values)

    def picture(self, name: str, make: Callable, *arguments) -> None:
        """Draw make(*arguments), images N×C×H×W in [-1, 1] or a grid of them, if a sample grid is due after this step:
        into NAME/STEP.png, the last one as NAME.png. It is called without gradients, with all networks in eval mode."""
        self.record.drawings.name(self.step + 1, name, make, arguments)

    def steps(self, **parts: nn.Module | torch.optim.Optimizer | Tensor) -> Iterator[int]:
        """The steps 1, 2, … of a training; between them, all that is not the training.

        parts: whatever changes while learning, by name: networks, optimizers, tensors (updated in place). A checkpoint
        holds them. `G` must be among them; pictures are made by `G_ema` if there is one. Forward passes within are in
        the precision of the run (autocast). Raises UserError (a loss that is not finite, a full disk, a part of another
        kind); after writing a checkpoint KeyboardInterrupt (Ctrl-C) or SystemExit (SIGTERM).
        """
        checkpoints.require_parts(parts)
        self.parts.update(parts)
        with contextlib.closing(self.record):
            if self.checkpoint is not None:
                from training.earlier import restore

                self.step, self.seconds = restore(self.parts, self.record.log, self.checkpoint, self.folder)
                if self.step >= self.hp.steps:
                    say(f"{self.folder} has its {self.step} steps already; for more: --resume --steps {2 * self.step}")
                    if not (self.folder / "training.gif").exists():  # it was stopped while this was drawn
                        self.record.finish(self.step, self.seconds)
                    return
                self.checkpoint = None  # it would stay in memory
            announce(self)
            self.record.begin(self.step, made_by(self))
            started, stop = time.perf_counter() - self.seconds, 0
            with progress_bar(self.hp.steps, self.step) as bar, processes.signals_noted() as noted:
                while self.step < self.hp.steps and not stop:
                    machine.seed_everything(self.hp.seed, self.step + 1)
                    with forward_passes(self.bfloat16):
                        yield self.step + 1
                    self.step += 1
                    self.seconds = time.perf_counter() - started
                    stop = processes.agree_to_stop(noted)
                    bar.update()
                    row = self.record.after_step(self.step, self.seconds, bool(stop))
                    if row is not None:
                        bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()}, refresh=False)
                    if self.step % 100 == 0:
                        self.dataset.forget_pages()
            self.end(stop)

    def samples(self, seed: int, n: int) -> Tensor:
        """G's images for n noise vectors of a seed: N×C×H×W in [-1, 1]."""
        z = noise_from_seed(seed, n, self.hp.z_dim).to(self.device)
        return generate(self.parts.get("G_ema", self.parts["G"]), z)

    def end(self, stop: int) -> None:
        """After the last step: the last pictures, or how to go on."""
        if self.step == self.hp.steps:
            self.record.finish(self.step, self.seconds)
        else:
            say(f"stopped after step {self.step}, its checkpoint is written; go on with: {how_to_resume(self.script)}")
            if stop != signal.SIGINT or not terminal.in_notebook():
                processes.end_by(stop)
            self.record.show()  # and train() returns the run as it is now

    def result(self) -> Result:
        """What train() returns. G moves to the CPU."""
        G, log = self.parts.get("G_ema", self.parts["G"]).cpu().eval(), columns(self.record.log.state(), self.step)
        return Result(self.script, self.hp, self.step, self.seconds, self.folder, self.dataset.source, G, log)


def announce(run: Run) -> None:
    """Say in one line what runs where, and which hyperparameters differ from the defaults."""
    data = "{:,} images {}×{}×{}".format(*run.images.shape) + f" ({run.dataset.source})"
    networks = {name: part for name, part in run.parts.items() if isinstance(part, nn.Module) and name != "G_ema"}
    count = {name: sum(p.numel() for p in network.parameters()) / 1e6 for name, network in networks.items()}
    millions = ", ".join(f"{name} {size:.2f} M" for name, size in count.items())
    given = "".join(f"; {name} {value}" for name, value in checkpoints.changed(run.hp).items())
    say(f"{run.script} on {where(run.device, run.bfloat16)}: {data}; parameters: {millions}{given}")


def made_by(run: Run) -> dict:
    """What one must know of the run to trust its numbers."""
    command = terminal.quote(terminal.command_line(run.script))  # "" if another program called train()
    data = {"data": run.dataset.source, "images": list(run.images.shape), "checksum": checksum(run.images)}
    made = {"processes": processes.world_size(), **machine.made_with(run.device, run.bfloat16)}
    return {"command": command, **data, **made}


def main(Hyperparameters: type[Options], Generator: type[nn.Module], train: Callable[[Options], object]) -> None:
    """The command line of a script: flags to hyperparameters, then train or sample.

    Exit codes: 0 done, 1 what the user can put right (one line on stderr), 2 a wrong flag, 130 Ctrl-C, 143 SIGTERM.
    """
    script = script_name(Hyperparameters)
    if not script.isidentifier():  # evaluate.py could not import it
        sys.exit(f"{script}.py: no name that Python can import: take letters, digits and _ alone, and no digit first")
    hp = read_flags(Hyperparameters, f"{script}.py", sys.modules[Hyperparameters.__module__].__doc__)
    try:
        with processes.process_group(hp.device):
            try:
                if hp.sample:
                    from training.earlier import sample

                    sample(script, hp, Hyperparameters, Generator)
                else:
                    train(hp)
            except UserError as error:
                # Printed now, not by sys.exit: that comes after the group is left, when torchrun may have ended us
                print(f"{script}.py{processes.which_process()}: {error}", file=sys.stderr, flush=True)
                sys.exit(1)
    except UserError as error:  # this process finds no device
        sys.exit(f"{script}.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def script_name(Hyperparameters: type[Options]) -> str:
    """ "began" for the Hyperparameters of began.py, also while that is the main program."""
    return Path(sys.modules[Hyperparameters.__module__].__file__).stem
