"""The real images of a data set, their features, and what samples measure against them. Not here: the samples."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.features import classify, load_classifier, random_features
from evaluation.metrics import fid, inception_score, kid, log_likelihood, nearest, neighbourhoods
from evaluation.second import SecondClassifier
from training.datasets import Dataset
from training.pictures import spread

MAPS_WEIGHT = 8.0  # gives the maps a norm comparable with that of the features: 47 to 41 on MNIST
APART = 10_000  # training images that the classifier does not learn from: samples are compared with these
ENOUGH = 5 * APART  # training images; of fewer none is kept apart

SCALARS = (
    "fid",
    "fid_second",
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
    "memorisation_low",
)
NEEDS_LABELS = ("fid", "kid", "inception_score", "classes")


class Reference:
    """The real images of a data set, in the shape of the samples, and their features."""

    def __init__(self, train: Dataset, test: Dataset, name: str, data_dir: str, device: torch.device) -> None:
        """train, test: all training images, and those held out, for the floor; name: of the data set.

        compared: those of the training images that samples are compared with; learned: those of the classifier;
        others: all that are not among the held-out ones.
        """
        self.name, self.data_dir, self.device = name, data_dir, device
        self.train, self.test, self.learned = train, test, train
        self.compared = train.images
        self.classifier = self.second = None
        order = torch.randperm(len(train.images), generator=torch.Generator().manual_seed(0))
        if train.labels is None:  # no held-out part: one random half stands in for it
            half = min(len(order) // 2, 50_000)  # more would fill the memory
            self.compared = train.images[order[half : 2 * half]]
            self.test = Dataset(train.images[order[:half]], None, train.source)
        else:
            if len(order) >= ENOUGH:
                self.compared, rest = train.images[order[:APART]], order[APART:]
                self.learned = Dataset(train.images[rest], train.labels[rest], train.source)
            self.classifier = load_classifier(self.learned, test, name, data_dir, device)
        self.others = self.compared if train.labels is None else train.images
        self.kept_pixels: Tensor | None = None
        self.kept_features: dict[int, tuple[Tensor, Tensor]] = {}
        self.kept_second: dict[int, Tensor] = {}
        self.floors: dict[tuple, dict] = {}
        self.density_floors: dict[int, dict] = {}

    def forget_images(self) -> None:
        """Keep the features that are there, and give the memory of the images back."""
        none = Dataset(self.train.images[:0].clone(), None, self.train.source)
        self.train = self.test = self.learned = none
        self.compared = self.others = none.images

    def seen_pixels(self) -> Tensor:
        """Of all that a run may have learned by heart."""
        if self.kept_pixels is None:
            self.kept_pixels = pixels(self.train.images, self.device)
        return self.kept_pixels

    def features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """For uint8 images: features for fid and kid, features for neighbourhoods, logits; all on the CPU.

        Without a classifier a random network and the pixels serve, and there are no logits.
        """
        if self.classifier is None:
            return random_features(images, self.device).cpu(), pixels(images, self.device).cpu(), None
        features, maps, logits = (found.cpu() for found in classify(self.classifier, images, self.device))
        return features, torch.cat([features, MAPS_WEIGHT * maps], dim=1), logits

    def real_features(self, count: int) -> tuple[Tensor, Tensor]:
        """Both kinds of features of `count` real images to compare with, always the same ones."""
        if count not in self.kept_features:
            self.kept_features[count] = self.features(drawn(self.compared, count))[:2]
        return self.kept_features[count]

    def fid(self, images: Tensor) -> float:
        """fid alone (fid_random without labels) of uint8 images against as many real ones."""
        return fid(self.real_features(len(images))[0], self.features(images)[0])

    def fid_second(self, images: Tensor) -> float:
        """The same on the features of the second classifier."""
        if self.second is None:
            given = (self.learned, self.test, self.name, self.data_dir, self.device)
            self.second = load_classifier(*given, SecondClassifier, seed=1)
        if len(images) not in self.kept_second:
            real = drawn(self.compared, len(images))
            self.kept_second[len(images)] = classify(self.second, real, self.device)[0].cpu()
        return fid(self.kept_second[len(images)], classify(self.second, images, self.device)[0].cpu())

    def measure(self, images: Tensor, k: int, seen_pixels: Tensor | None = None, second: bool = False) -> dict:
        """All numbers for uint8 images N×C×H×W against as many real ones.

        seen_pixels: in which to look for copies; by default the pixels of all that a run may have trained on.
        """
        seen_pixels = self.seen_pixels() if seen_pixels is None else seen_pixels
        real, real_points = self.real_features(len(images))
        fake, fake_points, logits = self.features(images)
        few = max(2, min(2000, 2**25 // images[0].numel()))  # enough for a median and a deviation; 128 MB as floats
        some = images[:: math.ceil(len(images) / few)]
        real_spread = spread(drawn(self.compared, len(some)))
        distance = nearest(pixels(some, self.device), seen_pixels)[0].cpu()
        numbers = dict.fromkeys(SCALARS) | {"class_share": None}
        numbers |= neighbourhoods(real_points, fake_points, k)
        numbers["spread"] = spread(some) / real_spread if real_spread else None
        numbers |= {"memorisation": distance.median().item(), "memorisation_low": distance.quantile(0.01).item()}
        numbers |= {"samples": len(images), "features": real.shape[1], "k": k}
        if logits is None:
            numbers["fid_random"] = fid(real, fake)
        else:
            share = logits.argmax(1).bincount(minlength=logits.shape[1]).double() / len(images)
            numbers |= {"fid": fid(real, fake), "kid": kid(real, fake), "inception_score": inception_score(logits)}
            # covered: at least a tenth of the share that it would have if all were equally frequent
            numbers |= {"classes": int((share >= 0.1 / len(share)).sum()), "class_share": share.tolist()}
            numbers["fid_second"] = self.fid_second(images) if second else None
        return numbers

    def floor(self, count: int, k: int, second: bool = False) -> dict:
        """The same numbers for `count` held-out real images."""
        key = (count, k, second)
        if key not in self.floors:
            # Without labels the held-out images are among those that a run has seen: look in the other half
            others = None if self.classifier else pixels(self.compared, self.device)
            self.floors[key] = self.measure(drawn(self.test.images, count), k, others, second)
        return self.floors[key]

    def density(self, images: Tensor) -> dict[str, float]:
        """The log-likelihood of the held-out real images under uint8 images, smoothed: keys kde_...."""
        return log_likelihood(pixels(images, self.device), pixels(self.test.images, self.device))

    def density_floor(self, count: int) -> dict[str, float]:
        """The same with `count` random training images in place of samples."""
        if count not in self.density_floors:
            self.density_floors[count] = self.density(drawn(self.others, count))
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
