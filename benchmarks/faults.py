"""What the numbers of images without labels say of images whose faults are known, and of runs.

python -m benchmarks.faults path/to/folder            half of the images against the other half, with and without faults
python -m benchmarks.faults mnist out/seeds/*-0       … and the samples of runs, beside the classifier's FID
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
import tyro
from scipy.stats import spearmanr
from torch import Tensor

import common
import evaluate
from benchmarks.measuring import command
from evaluation.features import random_features
from evaluation.metrics import fid
from evaluation.reference import drawn
from training.datasets import BUILT_IN
from training.files import UserError
from training.terminal import read_flags

CPU = torch.device("cpu")


@dataclass(kw_only=True)
class Options:
    """Which images."""

    data: Annotated[str, tyro.conf.Positional]
    """mnist, …, or a folder."""
    runs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Run folders on the same data, to order by both FIDs."""
    data_dir: str = "data"
    """Where data sets and the classifier are kept."""
    image_size: int = 32
    """Of a folder."""
    samples: int = 1000
    """Images in each half."""

    def __post_init__(self) -> None:
        common.require(self.samples >= 100, "--samples", self.samples, "at least 100")
        common.require(8 <= self.image_size <= 1024, "--image-size", self.image_size, "8 to 1024")


def with_faults(real: Tensor) -> dict[str, Tensor]:
    """real: uint8 N×C×H×W. Versions of them by the name of their fault, of the same shape."""
    generator = torch.Generator().manual_seed(0)
    half = real.shape[-1] // 2

    def noisy(amount: float) -> Tensor:
        return to_bytes(real + amount * torch.randn(real.shape, generator=generator))

    def blurred(side: int) -> Tensor:
        padded = F.pad(real.float(), (side // 2,) * 4, mode="replicate")
        return to_bytes(F.avg_pool2d(padded, side, stride=1))

    def some(of: Tensor) -> Tensor:
        return of[torch.randint(len(of), (len(real),), generator=generator)]

    modes = clusters(real)
    by_size = modes.bincount(minlength=10).argsort(descending=True)
    versions = {"real": real, "blurred by 3×3": blurred(3), "by 5×5": blurred(5)}
    versions |= {f"noise of σ {amount}": noisy(amount) for amount in (10, 30, 90)}
    if real.shape[1] == 3:
        shift = torch.tensor([1.0, 0, -1]).view(3, 1, 1)
        versions |= {f"red +{by}, blue −{by}": to_bytes(real + by * shift) for by in (20, 60)}
    return versions | {
        "quarters exchanged": real.roll((half, half), (2, 3)),
        "5 of 10 modes": some(real[torch.isin(modes, by_size[::2])]),
        "1 of 10 modes": some(real[modes == by_size[0]]),
        "20 images, repeated": some(real[:20]),
        "1 image, repeated": real[:1].expand(len(real), -1, -1, -1),
        "only noise": torch.randint(0, 256, real.shape, generator=generator).to(torch.uint8),
    }


def to_bytes(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


def clusters(images: Tensor, count: int = 10, rounds: int = 15) -> Tensor:
    """k-means of N×C×H×W images at 4×4 pixels: for each the number of its cluster, N."""
    points = F.interpolate(images.float(), size=(4, 4), mode="area").flatten(1)
    centres = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:count]]
    for _ in range(rounds):
        nearest = torch.cdist(points, centres).argmin(1)
        centres = torch.stack([points[nearest == i].mean(0) for i in range(count) if (nearest == i).any()])
    return nearest


def sliced_wasserstein(ours: Tensor, theirs: Tensor) -> float:
    """Mean distance of sorted projections of the pixels on 256 random directions (Rabin 2011). Both N×C×H×W."""
    ours, theirs = (images.float().flatten(1) for images in (ours, theirs))
    directions = F.normalize(torch.randn(ours.shape[1], 256, generator=torch.Generator().manual_seed(0)), dim=0)
    return ((ours @ directions).sort(0).values - (theirs @ directions).sort(0).values).abs().mean().item()


def table(columns: dict[str, dict[str, float]]) -> None:
    """Markdown: each number as a multiple of that of real images, whose own number stands in the last row."""
    print(f"| {' | '.join(['', *columns])} |\n|---{'|---' * len(columns)}|")
    first = next(iter(columns.values()))
    for name in first:
        cells = [f"{column[name] / column['real']:.1f}" for column in columns.values()]
        print(f"| {name} | {' | '.join(cells)} |")
    cells = [f"{column['real']:.3g}" for column in columns.values()]
    print(f"| real images, the value itself | {' | '.join(cells)} |")


def faults(options: Options) -> None:
    images = common.load_images(
        options.data, options.data_dir, 0 if options.data in BUILT_IN else options.image_size
    ).images
    images = drawn(images, 2 * options.samples)
    theirs, real = images.split(len(images) // 2)[:2]
    features, columns = random_features(theirs, CPU), {"fid_random": {}, "sliced Wasserstein": {}}
    for name, ours in with_faults(real).items():
        columns["fid_random"][name] = fid(features, random_features(ours, CPU))
        columns["sliced Wasserstein"][name] = sliced_wasserstein(ours, theirs)
    table(columns)


def compare_runs(options: Options) -> None:
    """Both FIDs of each run's samples, and the rank correlation of the two."""
    ask = evaluate.Options(targets=options.runs, samples=2000, data_dir=options.data_dir)
    pairs, known = [], None
    for run in options.runs:
        samples = evaluate.load_samples(run, ask, CPU).images
        if known is None:
            known = evaluate.reference_for(options.data, samples.shape[1:], options.data_dir, CPU)
            if known.classifier is None:
                raise UserError(
                    f"{options.data} has no labels, so there is no second FID to compare with: name no runs"
                )
            real = drawn(known.compared, len(samples))
            features, random = known.features(real)[0], random_features(real, CPU)
        pairs.append((fid(features, known.features(samples)[0]), fid(random, random_features(samples, CPU))))
        print(f"{run}: fid {pairs[-1][0]:.4g}, fid_random {pairs[-1][1]:.4g}", flush=True)
    if len(pairs) > 1:
        print(f"rank correlation of {len(pairs)} runs: {spearmanr(pairs).statistic:.2f}")


@command
def main() -> None:
    options = read_flags(Options, "python -m benchmarks.faults", __doc__)
    faults(options)
    if options.runs:
        compare_runs(options)


if __name__ == "__main__":
    main()
