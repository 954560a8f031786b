"""FID over wall-clock: the defaults of each script, and a setting in use (benchmarks/in_use.py) beside it.

python -m benchmarks.quality
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

import common
from benchmarks.in_use import InUse
from benchmarks.measuring import (
    SCRIPTS,
    Enough,
    Script,
    command,
    images_of,
    machine,
    reference,
    save,
    score,
    side_by_side,
    watch,
)
from evaluation.results import mean_and_deviation
from training.terminal import read_flags

IN_USE = ", in use"


@dataclass(kw_only=True)
class Options:
    """Which trainings, and for how long."""

    scripts: tuple[Script, ...] = SCRIPTS
    """Which scripts; with each comes the setting in use."""
    seconds: float = 120
    """Wall-clock of each training; the clock stands still while its FID is taken."""
    seeds: int = 3
    """Trainings of each setting."""
    jobs: int = 1
    """Trainings at the same time, each with its share of the cores."""
    data_dir: str = "data"
    """Folder of the data sets."""
    out: str = "out/quality.json"
    """Where the numbers go; the picture lies beside them."""


class Stopwatch:
    """Takes the FID of a training at given moments of its own time; the clock stands still meanwhile."""

    def __init__(self, data_dir: str, moments: list[float]) -> None:
        self.data_dir, self.moments, self.found = data_dir, moments, []
        self.start = 0.0

    def look(self, samples: Callable[[int], Tensor]) -> bool:
        """True when the last moment has passed. samples: images, from their number."""
        now = time.perf_counter()
        self.start = self.start or now
        if now - self.start >= self.moments[len(self.found)]:
            self.found.append(score(samples(10_000), self.data_dir))
            self.start += time.perf_counter() - now
        return len(self.found) == len(self.moments)


def moments(options: Options) -> list[float]:
    return [moment * options.seconds / 120 for moment in (5, 12, 20, 30, 45, 60, 90, 120)]


def fid_over_time(task: tuple[str, int, Options]) -> list[float]:
    """FIDs of one training at all moments. The name of a setting in use ends in IN_USE."""
    name, seed, options = task
    script = name.removesuffix(IN_USE)
    images = reference(options.data_dir).train.images
    stopwatch = Stopwatch(options.data_dir, moments(options))
    if name == script:

        def look(run: common.Run, _values: dict) -> None:
            if stopwatch.look(lambda count: images_of(run, count)):
                raise Enough

        # On the CPU and in float32, as the settings in use
        watch(script, look, seed=seed, data_dir=options.data_dir, device="cpu", precision="float32")
    else:
        training = InUse(script, images, seed)
        while not stopwatch.look(training.samples):
            training.step()
    return stopwatch.found


def plot(moments: list[float], curves: dict[str, list[list[float]]], path: Path) -> None:
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    colours = {name.split(",")[0]: f"C{i // 2}" for i, name in enumerate(curves)}
    for name, runs in curves.items():
        style = "--" if "in use" in name else "-"
        axes.plot(moments, np.mean(runs, axis=0), style, color=colours[name.split(",")[0]], label=name)
    axes.set_yscale("log")
    axes.set_xlabel("seconds")
    axes.set_ylabel("FID")
    figure.legend(fontsize=8, loc="outside right upper")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=90)


@command
def main() -> None:
    options = read_flags(Options, "python -m benchmarks.quality", __doc__)
    names = [name for script in options.scripts for name in (script, script + IN_USE)]
    tasks = [(name, seed, options) for seed in range(options.seeds) for name in names]
    curves: dict[str, list[list[float]]] = {name: [] for name in names}
    with side_by_side(options.jobs, options.data_dir) as pool:
        for (name, seed, _), curve in zip(tasks, pool.imap(fid_over_time, tasks)):
            curves[name].append(curve)
            print(f"seed {seed} {name}: {', '.join(f'{fid:.0f}' for fid in curve)}", flush=True)
            save(options.out, {"moments": moments(options), "curves": curves})
    cores = f"trainings at a time: {options.jobs}"
    floor = score(reference(options.data_dir).test.images, options.data_dir)
    print(f"\nFID after so many seconds; {machine(torch.device('cpu'))}; {cores}; floor {floor:.1f}\n")
    print("| setting | " + " | ".join(f"{moment:g} s" for moment in moments(options)) + " |")
    print("|---" * (len(moments(options)) + 1) + "|")
    for name, runs in curves.items():
        print(f"| {name} | " + " | ".join(mean_and_deviation(fids) for fids in zip(*runs)) + " |")
    plot(moments(options), curves, Path(options.out).with_suffix(".png"))


if __name__ == "__main__":
    main()
