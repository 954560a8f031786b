"""Images per second of one and of two processes, one thread each, and what averaging the gradients costs.

python -m benchmarks.processes --repeats 3 --scripts began wgan_gp dcgan
"""

import importlib
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import torch

import common
from benchmarks.measuring import SCRIPTS, Enough, train
from training.processes import process_group, rank
from training.terminal import read_flags


@dataclass(kw_only=True)
class Options:
    """Which trainings, and for how long."""

    scripts: tuple[str, ...] = SCRIPTS
    """Which scripts."""
    steps: int = 250
    """Steps per measurement; a fifth more come before, not counted."""
    repeats: int = 9
    """Measurements; the median counts."""
    data_dir: str = "data"
    """Folder of the data sets."""
    worker: bool = False
    """Not for you: one of the measured processes, started by torchrun."""


def work(options: Options) -> None:
    """One of the measured processes: prints images per second, and averaging's part of the time."""
    (script,), averaging, moments = options.scripts, [0.0], []
    average_gradients = common.average_gradients

    def timed(network: torch.nn.Module) -> None:
        start = time.perf_counter()
        average_gradients(network)
        averaging[0] += time.perf_counter() - start

    class Timed(common.Run):
        def log(self, **values) -> None:
            moments.append((time.perf_counter(), averaging[0]))
            if len(moments) > options.steps + options.steps // 5:
                raise Enough

    common.average_gradients = timed
    torch.set_num_threads(1)
    with process_group("cpu"):
        train(script, Timed, data_dir=options.data_dir, device="cpu", sample_every=10**9)
        (t0, a0), (t1, a1) = moments[options.steps // 5], moments[-1]
        if rank() == 0:
            images = options.steps * importlib.import_module(script).Hyperparameters().batch_size
            print("RESULT", images / (t1 - t0), (a1 - a0) / (t1 - t0), flush=True)


def measure(script: str, count: int, options: Options) -> tuple[float, float]:
    """Images per second of `count` processes, and averaging's part of the time."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    words += ["-m", "benchmarks.processes", "--worker", "--scripts", script]
    words += ["--steps", str(options.steps), "--data-dir", options.data_dir]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(words, env=environment, capture_output=True, encoding="utf-8", check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
    if line is None:
        sys.exit(f"{script} with {count} processes failed: {done.stderr[-500:]}")
    rate, part = map(float, line.split()[1:])
    return rate, part


def main() -> None:
    options = read_flags(Options, "python -m benchmarks.processes", __doc__)
    if options.worker:
        return work(options)
    print("| script | 1 process, images/s | 2 processes | ratio | averaging, of the step |")
    print("|---|---|---|---|---|")
    for script in options.scripts:
        one, two = zip(*[[measure(script, count, options) for count in (1, 2)] for _ in range(options.repeats)])
        alone, together = (statistics.median(rate for rate, _ in found) for found in (one, two))
        part = statistics.median(part for _, part in two)
        print(f"| {script} | {alone:.0f} | {together:.0f} | {together / alone:.2f} | {part:.0%} |", flush=True)


if __name__ == "__main__":
    main()
