"""Steps per second of each script's loop, of its bare step, and of the loop of a textbook.

loop      the script as it is
bare      forward, backward and optimizers alone: one fixed batch, one fixed noise, nothing logged or averaged
textbook  the same networks and losses in a plain loop (benchmarks/textbook.py)

python -m benchmarks.speed
"""

import contextlib
import importlib
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
from torch.utils.flop_counter import FlopCounterMode

import common
from benchmarks import textbook
from benchmarks.measuring import SCRIPTS, Enough, command, machine, quiet, save, train
from workshop.machine import autocast, choose_device_to_measure, use_bfloat16
from workshop.terminal import read_flags

KINDS = ("loop", "bare", "textbook")
TURN = 50  # steps, as many as make a row of the log


@dataclass(kw_only=True)
class Options:
    """Which loops to time, and for how long."""

    scripts: tuple[str, ...] = (*SCRIPTS, "began_conv")
    """Which scripts."""
    steps: int = 250
    """Steps per measurement; in 250 one of them makes a sample grid."""
    repeats: int = 9
    """Measurements of each kind, of the slow textbook loop a third as many; the median counts."""
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
        if kind == "textbook":
            hp = importlib.import_module(script).Hyperparameters(data_dir=options.data_dir)
            with quiet():
                textbook.train(script, hp, device_of(options), turns.step)
        elif kind == "bare":
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
            with autocast(self.device, self.bfloat16):
                yield step

    def real(self) -> Tensor:
        return super().real() if self.batch is None else self.batch[0]  # some ask for batches before the loop

    def noise(self) -> Tensor:
        return self.batch[1]

    def epsilon(self) -> Tensor:
        return self.batch[2]

    def log(self, **values) -> None:
        """Not part of the bare step."""


def nothing(ema: common.EMA, step: int) -> None:
    """In place of EMA.update."""


def bare(script: str, tick, **settings) -> None:
    """Train with nothing around the step: no batches, no log, no EMA."""
    with mock.patch.object(common.EMA, "update", new=nothing):
        train(script, ticking(Bare, tick), **settings)


def flops_of_step(script: str, options: Options) -> float:
    """Floating-point operations of one step: matrix products and convolutions."""
    counter, counts = FlopCounterMode(display=False), []
    # Its tracker of modules can't look into a gradient penalty's torch.autograd.grad; the total needs none
    counter.mod_tracker = type("Nothing", (contextlib.nullcontext,), {"parents": {"Global"}})()

    def count() -> None:
        counts.append(counter.get_total_flops())
        if len(counts) == 2:
            raise Enough

    with counter:
        bare(script, count, data_dir=options.data_dir, device=device_of(options).type)
    return counts[1] - counts[0]


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """What the machine reaches in a large matrix product."""
    a = torch.randn(2048, 2048, device=device).to(dtype)
    best = 0.0
    for _ in range(20):
        start = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start))
    return best


def measure(script: str, options: Options) -> dict[str, list[float]]:
    """Steps per second of each kind, `repeats` times; of the textbook loop in every third of them."""
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for repeat in range(options.repeats):
        trainings = {kind: Training(script, kind, options) for kind in KINDS if kind != "textbook" or repeat % 3 == 0}
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
    device = device_of(options)
    dtype = torch.bfloat16 if use_bfloat16("auto", device) else torch.float32
    peak = peak_flops(device, dtype)
    print(f"{machine(device)}; matrix product: {peak / 1e9:.0f} GFLOP/s ({str(dtype).removeprefix('torch.')})\n")
    print("| script | loop, steps/s | bare step | loop / bare | textbook | loop / textbook | GFLOP/s | of peak |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    everything = {}
    for script in options.scripts:
        rates = measure(script, options)
        loop, alone, plain = (statistics.median(rates[kind]) for kind in KINDS)
        # of measurements made together
        to_bare = statistics.median(a / b for a, b in zip(rates["loop"], rates["bare"]))
        to_textbook = statistics.median(a / b for a, b in zip(rates["loop"][::3], rates["textbook"]))
        achieved = flops_of_step(script, options) * loop
        everything[script] = {"rates": rates, "flops": achieved, "peak": peak}
        cells = f"{loop:.1f} | {alone:.1f} | {to_bare:.2f} | {plain:.1f} | {to_textbook:.2f}"
        print(f"| {script} | {cells} | {achieved / 1e9:.0f} | {achieved / peak:.1%} |", flush=True)
    save(options.out, everything)


if __name__ == "__main__":
    main()
