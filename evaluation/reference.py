"""The real images of a data set, their features, and what samples measure against them. Not here: the samples."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.features import classify, load_classifier, random_features
from evaluation.metrics import fid, inception_score, kid, log_likelihood, nearest, neighbourhoods
from training.datasets import Dataset
from training.pictures import spread

MAPS_WEIGHT = 8.0  # gives the maps a norm comparable with that of the features: 47 to 41 on MNIST

SCALARS = (
    "fid",
    "fid_random",
    "kid",
    "inception_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "classes",
    "spread",
    "memorisation",
)
NEEDS_LABELS = ("fid", "kid", "inception_score", "classes")


class Reference:
    """The real images of a data set, in the shape of the samples, and their features."""

    def __init__(self, train: Dataset, test: Dataset, name: str, data_dir: str, device: torch.device) -> None:
        """train, test: the images to compare with, and those held out, for the floor; name: of the data set."""
        self.train, self.test, self.device = train, test, device
        self.seen, self.identity = train.images, train.identity  # what a run may have learned by heart
        self.classifier = None
        if self.train.labels is not None:
            self.classifier = load_classifier(self.train, self.test, name, data_dir, device)
        else:  # no held-out part: one random half stands in for it
            order = torch.randperm(len(self.train.images), generator=torch.Generator().manual_seed(0))
            half = min(len(order) // 2, 50_000)  # more would fill the memory
            images = self.train.images
            self.train = Dataset(images[order[half : 2 * half]], None, self.train.source)
            self.test = Dataset(images[order[:half]], None, self.train.source)
        self.seen_pixels = pixels(self.seen, device)
        self.kept_features: dict[int, tuple[Tensor, Tensor]] = {}
        self.floors: dict[tuple[int, int], dict] = {}
        self.density_floors: dict[int, dict] = {}

    def features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """For uint8 images: features for fid and kid, features for neighbourhoods, logits; all on the CPU.

        Without a classifier a random network and the pixels serve, and there are no logits.
        """
        if self.classifier is None:
            return random_features(images, self.device).cpu(), pixels(images, self.device).cpu(), None
        features, maps, logits = (found.cpu() for found in classify(self.classifier, images, self.device))
        return features, torch.cat([features, MAPS_WEIGHT * maps], dim=1), logits

    def real_features(self, count: int) -> tuple[Tensor, Tensor]:
        """Both kinds of features of `count` training images, always the same ones."""
        if count not in self.kept_features:
            self.kept_features[count] = self.features(drawn(self.train.images, count))[:2]
        return self.kept_features[count]

    def measure(self, images: Tensor, k: int, seen_pixels: Tensor | None = None) -> dict:
        """All numbers for uint8 images N×C×H×W against as many random training images.

        seen_pixels: in which to look for copies; by default the pixels of all that a run may have trained on.
        """
        seen_pixels = self.seen_pixels if seen_pixels is None else seen_pixels
        real, real_points = self.real_features(len(images))
        fake, fake_points, logits = self.features(images)
        few = max(2, min(2000, 2**25 // images[0].numel()))  # enough for a median and a deviation; 128 MB as floats
        some = images[:: math.ceil(len(images) / few)]
        real_spread = spread(drawn(self.train.images, len(some)))
        distance, _ = nearest(pixels(some, self.device), seen_pixels)
        numbers = dict.fromkeys(SCALARS)
        numbers |= neighbourhoods(real_points, fake_points, k)
        numbers["spread"] = spread(some) / real_spread if real_spread else None
        numbers |= {"memorisation": distance.median().item(), "class_share": None, "samples": len(images)}
        if logits is None:
            numbers["fid_random"] = fid(real, fake)
        else:
            share = logits.argmax(1).bincount(minlength=logits.shape[1]).double() / len(images)
            numbers |= {"fid": fid(real, fake), "kid": kid(real, fake), "inception_score": inception_score(logits)}
            # covered: at least a tenth of the share that it would have if all were equally frequent
            numbers |= {"classes": int((share >= 0.1 / len(share)).sum()), "class_share": share.tolist()}
        return numbers

    def floor(self, count: int, k: int) -> dict:
        """The same numbers for `count` held-out real images."""
        if (count, k) not in self.floors:
            # Without labels the held-out images are among those that a run has seen: look in the other half
            others = None if self.classifier else pixels(self.train.images, self.device)
            self.floors[count, k] = self.measure(drawn(self.test.images, count), k, others)
        return self.floors[count, k]

    def density(self, images: Tensor) -> dict[str, float]:
        """The log-likelihood of the held-out real images under uint8 images, smoothed: keys kde_...."""
        return log_likelihood(pixels(images, self.device), pixels(self.test.images, self.device))

    def density_floor(self, count: int) -> dict[str, float]:
        """The same with `count` random training images in place of samples."""
        if count not in self.density_floors:
            self.density_floors[count] = self.density(drawn(self.train.images, count))
        return self.density_floors[count]


def drawn(images: Tensor, count: int) -> Tensor:
    """`count` of the images at random, always the same ones: a data set may be sorted by class."""
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]]


def pixels(images: Tensor, device: torch.device) -> Tensor:
    """uint8 N×C×H×W to N×d in [0, 1], at most 32 pixels wide: what 'nearest' means for memorisation."""
    parts = []
    for part in images.split(4096):
        values = part.to(device).float() / 255
        if values.shape[-1] > 32:
            values = F.interpolate(values, size=(32, 32), mode="area")
        parts.append(values.flatten(1))
    return torch.cat(parts)
