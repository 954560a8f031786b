"""The FID while a script trains: fid.csv. The one thing of an evaluation that a training may ask for (--fid-every).

Not here: when a point is due (training/record.py), how it is drawn (training/log.py).
"""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from evaluation.features import choose_device_to_measure
from evaluation.reference import Reference
from training.datasets import BUILT_IN, Dataset, load_built_in
from training.files import UserError, write_file
from training.pictures import to_uint8
from training.terminal import say

FILE = "fid.csv"
COUNT = 2000  # samples, or as many as there are real images to compare with
NEEDED = 100  # real images; FID of fewer means nothing at all


class FidCurve:
    """FID of G's samples against the data, point by point. The last one is what `evaluate.py --samples 2000` gives.

    Without labels it is fid_random, and named so. What is learned does not change: the training's random numbers stay
    as they are, and the samples are made as those of a grid.
    """

    def __init__(self, hp, real: Tensor, samples: Callable[[int, int], Tensor], step: int) -> None:
        """hp: the run's hyperparameters; real: its training images, uint8; samples(seed, n): G's images in [-1, 1];
        step: the last one that is done. board: TensorBoard, if it is to have the points, too.

        Raises UserError if there are too few images, or the data can't be had.
        """
        self.path, self.seed, self.every, self.samples = Path(hp.out) / FILE, hp.sample_seed, hp.fid_every, samples
        self.board = None
        train = test = Dataset(real.cpu(), None, hp.data)
        if hp.data in BUILT_IN:
            given = (hp.data, Path(hp.data_dir), hp.image_size, hp.channels)
            train, test = (load_built_in(*given, train=part) for part in (True, False))
        self.name = "fid_random" if train.labels is None else "fid"
        device = choose_device_to_measure(hp.device)
        self.devices = [device] if device.type == "cuda" else []  # whose random numbers are to be as before
        with torch.random.fork_rng(self.devices):  # a new network draws weights, and may be trained
            self.reference = Reference(train, test, hp.data, hp.data_dir, device)
            self.count = min(COUNT, len(self.reference.compared), len(self.reference.test.images))
            if self.count < NEEDED:
                few = f"{self.count} real images to compare with; needed are {NEEDED}"
                raise UserError(f"--fid-every {hp.fid_every}: {few}")
            self.features = self.reference.real_features(self.count)[0].shape[1]
        self.reference.forget_images()
        self.steps, self.values = self.kept(step)
        self.said = False

    def kept(self, step: int) -> tuple[list[int], list[float]]:
        """The points up to `step` that are in the file: those after the checkpoint are measured again."""
        steps, values = read_points(self.path).get(self.name, ([], []))
        found = [(at, value) for at, value in zip(steps, values) if at <= step and at % self.every == 0]
        return [at for at, _ in found], [value for _, value in found]

    def after_step(self, step: int) -> None:
        """Measure, if a point is due, and write the file."""
        if step % self.every:
            return
        started = time.perf_counter()
        with torch.random.fork_rng(self.devices):
            value = self.reference.fid(to_uint8(self.samples(self.seed, self.count)))
        self.steps.append(step)
        self.values.append(value)
        rows = [["step", self.name], *zip(self.steps, self.values)]
        write_file(self.path, "".join(f"{','.join(map(str, row))}\r\n" for row in rows).encode())
        if not self.said:
            seconds, noise = time.perf_counter() - started, self.count < 10 * self.features
            few = f"; fewer than ten for each of {self.features} features: see the trend, not the number" * noise
            say(
                f"{self.name} {value:.4g} at step {step}; a point costs {seconds:.1f} s, of {self.count:,} samples{few}"
            )
            self.said = True
        if self.board is not None:
            self.board.values({self.name: value}, step)


def read_points(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """The curve in a fid.csv by its name, fid or fid_random: steps and values. {} if there is none."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            (first, name), *rows = list(csv.reader(stream))
        steps, values = [int(step) for step, _ in rows], [float(value) for _, value in rows]
        return {name: (steps, values)} if first == "step" and name in ("fid", "fid_random") else {}
    except (OSError, ValueError, csv.Error):
        return {}
