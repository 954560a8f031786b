"""Steps per second of each script's loop, and of its bare step.

loop  the script as it is
bare  forward, backward and optimizers alone: one fixed batch, one fixed noise, nothing logged or averaged

python -m benchmarks.speed
"""

import contextlib
import itertools
import multiprocessing
import statistics
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal
from unittest import mock

import torch
from torch import Tensor

import common
from benchmarks.measuring import SCRIPTS, Enough, command, machine, save, train
from evaluation.features import choose_device_to_measure
from training.machine import forward_passes
from training.terminal import read_flags

KINDS = ("loop", "bare")
TURN = 50  # steps, as many as make a row of the log


@dataclass(kw_only=True)
class Options:
    """Which loops to time, and for how long."""

    scripts: tuple[str, ...] = (*SCRIPTS, "began_conv")
    """Which scripts."""
    steps: int = 250
    """Steps per measurement; in 250 two of them make a sample grid."""
    repeats: int = 9
    """Measurements of each kind; the median counts."""
    data_dir: str = "data"
    """Folder of the data sets."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda, else cpu."""
    out: str = "out/speed.json"
    """Where the numbers go."""


class Training:
    """One script's training in one of the surroundings, in a process that rests but for its turns.

    So several are measured in turns of a few steps, and what else slows the machine slows all of them alike. Each
    measurement has new ones: where a process's memory happens to lie makes it up to a tenth faster or slower.
    """

    def __init__(self, script: str, kind: str, options: Options) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.process_end, theirs = spawn.Pipe()
        self.process = spawn.Process(target=train_by_turns, args=(theirs, script, kind, options), daemon=True)
        self.process.start()
        theirs.close()

    def advance(self) -> float:
        """The seconds of the next TURN steps."""
        self.process_end.send(True)
        try:
            return self.process_end.recv()
        except EOFError:
            sys.exit("speed.py: a measured training has failed, as said above")

    def end(self) -> None:
        self.process_end.send(False)
        self.process.join()


class Turns:
    """The measured process's side of Training: step() is called after each step, and rests after a turn."""

    def __init__(self, parent: Connection) -> None:
        self.parent, self.count, self.started = parent, 0, 0.0

    def wait(self) -> None:
        if not self.parent.recv():
            raise Enough
        self.started = time.perf_counter()

    def step(self) -> None:
        self.count += 1
        if self.count % TURN == 0:
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            self.parent.send(time.perf_counter() - self.started)
            self.wait()


def train_by_turns(parent: Connection, script: str, kind: str, options: Options) -> None:
    """What a training's process does."""
    turns = Turns(parent)
    with contextlib.suppress(Enough):
        turns.wait()
        settings = {"data_dir": options.data_dir, "device": device_of(options).type, "log_every": TURN}
        if kind == "bare":
            bare(script, turns.step, **settings)
        else:
            train(script, ticking(common.Run, turns.step), **settings)


def device_of(options: Options) -> torch.device:
    return choose_device_to_measure(options.device)  # mps has its own way to wait for work that is under way


def ticking(Run: type[common.Run], tick) -> type[common.Run]:
    """A Run that calls tick() after each step."""

    class Ticking(Run):
        def log(self, **values) -> None:
            super().log(**values)
            tick()

    return Ticking


class Bare(common.Run):
    """Only what the networks do."""

    batch: tuple[Tensor, Tensor, Tensor] | None = None  # x, z and ε of every step

    def steps(self, **parts):
        self.batch = super().real(), super().noise(), super().epsilon()
        for step in itertools.count(1):
            with forward_passes(self.bfloat16):
                yield step

    def real(self) -> Tensor:
        return super().real() if self.batch is None else self.batch[0]  # some ask for batches before the loop

    def noise(self) -> Tensor:
        return self.batch[1]

    def epsilon(self) -> Tensor:
        return self.batch[2]

    def log(self, **values) -> None:
        """Not part of the bare step."""

    def picture(self, *arguments) -> None:
        """Nor are pictures."""


def nothing(ema: common.EMA, step: int) -> None:
    """In place of EMA.update."""


def bare(script: str, tick, **settings) -> None:
    """Train with nothing around the step: no batches, no log, no EMA."""
    with mock.patch.object(common.EMA, "update", new=nothing):
        train(script, ticking(Bare, tick), **settings)


def measure(script: str, options: Options) -> dict[str, list[float]]:
    """Steps per second of each kind, `repeats` times."""
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(options.repeats):
        trainings = {kind: Training(script, kind, options) for kind in KINDS}
        for training in trainings.values():
            training.advance()  # not counted: the first steps are slower
        seconds = dict.fromkeys(trainings, 0.0)
        turns = max(1, options.steps // TURN)
        for turn in range(turns):
            for kind in [*trainings] if turn % 2 == 0 else [*trainings][::-1]:  # none always comes first
                seconds[kind] += trainings[kind].advance()
        for kind, training in trainings.items():
            rates[kind].append(turns * TURN / seconds[kind])
            training.end()
    return rates


@command
def main() -> None:
    options = read_flags(Options, "python -m benchmarks.speed", __doc__)
    common.load_images(data_dir=options.data_dir)  # if it can't be had, that is said here, and not by each process
    print(f"{machine(device_of(options))}\n\n| script | loop, steps/s | bare step | loop / bare |\n|---|---|---|---|")
    everything = {}
    for script in options.scripts:
        rates = everything[script] = measure(script, options)
        loop, alone = (statistics.median(rates[kind]) for kind in KINDS)
        ratio = statistics.median(a / b for a, b in zip(rates["loop"], rates["bare"]))  # of measurements made together
        print(f"| {script} | {loop:.1f} | {alone:.1f} | {ratio:.2f} |", flush=True)
    save(options.out, everything)


if __name__ == "__main__":
    main()
