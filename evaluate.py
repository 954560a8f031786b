"""How good are the samples, how diverse, and how does that compare with real images?

    python evaluate.py out/began                      a finished run (or several)
    python evaluate.py samples.npz                    images from elsewhere: arr_0, uint8, N×H×W×C
    python evaluate.py folder_of_pngs                 the same as pictures
    python evaluate.py --seeds 5 began.py dcgan.py    train and evaluate over seeds: mean ± std

A GAN's losses say little about its samples and an eye sees a few dozen of them, so each number here
answers one question, and stands beside the *floor*: the same number for real images that no GAN has
seen, with the same sample counts. A generator can't be told from the data when it reaches the floor.

    fid         are the two clouds of features alike in mean and covariance? (Heusel 2017, 1706.08500)
    kid         the same by a kernel, unbiased for few samples (Bińkowski 2018, 1801.01401)
    inception_score  is each image surely of one class, and are all classes there? (Salimans 2016, 1606.03498)
    precision   share of samples inside the real data's neighbourhoods: quality
    recall      share of real images inside the samples' neighbourhoods: diversity (Kynkäänniemi 2019, 1904.06991)
    density, coverage  the same two questions, robust against outliers (Naeem 2020, 2002.09797)
    classes     how many classes the classifier finds among the samples, and class_share, how often each
    memorisation  median distance (RMS over pixels, which lie in [0, 1]) to the nearest training image:
                far below the floor means copies of the training set

Features are the last hidden layer of a small classifier, trained here once on the labelled data and kept
under data/. Inception, which these metrics are named after, knows no digits. So the numbers compare with
each other, and not with those of papers. A folder of images has no labels, hence no classifier: then the
neighbourhoods are those of the pixels, and fid, kid, inception_score and classes are null.
"""

import importlib
import io
import json
import os
import shlex
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance
from tqdm.auto import tqdm

import common
from common import UserError

SCALARS = ("fid", "kid", "inception_score", "precision", "recall", "density", "coverage", "classes", "memorisation")
NEEDS_LABELS = ("fid", "kid", "inception_score", "classes")


@dataclass(kw_only=True)
class Options:
    """How good, how diverse, against what floor."""

    targets: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Run folders, .npz files or folders of PNGs; with --seeds: scripts."""
    samples: int = 10_000
    """Images to generate and to compare with. Fewer if there are fewer; metrics.json says how many."""
    sample_seed: int = 0
    """Of the noise."""
    k: int = 5
    """Neighbours that make a neighbourhood, for precision, recall, density and coverage."""
    data: str = "mnist"
    """What to compare images from elsewhere with. A run says itself what it was trained on."""
    data_dir: str = "data"
    """Folder in which data sets and the classifier are kept."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    seeds: int = 0
    """Above 0: the targets are scripts; train each with seeds 0, 1, … and report mean ± std."""
    flags: str = ""
    """With --seeds: further flags for the scripts, such as "--gamma 0.7"."""
    jobs: int = 1
    """With --seeds: trainings at a time, which share the cores."""
    out: str = "out/seeds"
    """With --seeds: the folder of the runs."""

    def __post_init__(self) -> None:
        common.require(len(self.targets) > 0, "TARGETS", "()", "at least one")
        common.require(self.samples >= 100, "--samples", self.samples, "at least 100")
        common.require(1 <= self.k < 100, "--k", self.k, "in 1 to 99")
        common.require(self.seeds >= 0, "--seeds", self.seeds, "0 or more")
        common.require(self.jobs >= 1, "--jobs", self.jobs, "at least 1")


# --------------------------------------------------------------------------------------------------
# The metrics: functions of features, logits and pixels
# --------------------------------------------------------------------------------------------------


def fid(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance |μ − μ'|² + tr(Σ + Σ' − 2(ΣΣ')^½) between two sets of features, N×d."""
    metric = FrechetInceptionDistance(Features(real.shape[1]))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute())


def kid(real: Tensor, fake: Tensor) -> float:
    """Squared maximum mean discrepancy with a cubic kernel; the mean over 100 random subsets."""
    torch.manual_seed(0)
    size = min(1000, len(real), len(fake))
    metric = KernelInceptionDistance(Features(real.shape[1]), subset_size=size)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute()[0])


def inception_score(logits: Tensor) -> float:
    """exp E KL(p(y|x) ‖ p(y)), between 1 and the number of classes; the mean over 10 splits."""
    torch.manual_seed(0)
    metric = InceptionScore(Features(logits.shape[1]))
    metric.update(logits)
    return float(metric.compute()[0])


class Features(nn.Module):
    """What torchmetrics takes in place of an Inception network: here the features are ready."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.dummy = nn.Parameter(torch.zeros(0))

    def forward(self, features: Tensor) -> Tensor:
        return features


def neighbourhoods(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, float]:
    """precision, recall, density, coverage from N×d and M×d features.

    The neighbourhood of a point is the ball that reaches to its k-th nearest neighbour in its own set.
    """
    real_radius, fake_radius = radii(real, k), radii(fake, k)
    inside_real = torch.zeros(len(fake), dtype=torch.long, device=real.device)  # how many real balls hold each sample
    recalled, covered = [], []
    for points, radius in zip(real.split(1000), real_radius.split(1000)):
        distance = torch.cdist(points, fake)
        inside = distance <= radius[:, None]
        inside_real += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((distance <= fake_radius).any(1))
    return {
        "precision": (inside_real > 0).double().mean().item(),
        "recall": torch.cat(recalled).double().mean().item(),
        "density": inside_real.double().mean().item() / k,
        "coverage": torch.cat(covered).double().mean().item(),
    }


def radii(points: Tensor, k: int) -> Tensor:
    """Distance of each point to its k-th nearest neighbour; the nearest of all is the point itself."""
    return torch.cat([torch.cdist(part, points).kthvalue(k + 1, dim=1).values for part in points.split(1000)])


def nearest(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each row of N×d points, the RMS distance to the nearest of the M×d others, and its index."""
    found = []
    for part in points.split(500):
        # |a − b|² = |a|² − 2ab + |b|², of which |a|² does not decide who is nearest
        index = torch.addmm((others**2).sum(1), part, others.T, alpha=-2).argmin(1)
        found.append((((part - others[index]) ** 2).mean(1).sqrt(), index))
    distances, indices = zip(*found)
    return torch.cat(distances), torch.cat(indices)


# --------------------------------------------------------------------------------------------------
# The classifier
# --------------------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """Images N×C×H×W in [-1, 1] to features (N×128) and logits (N×classes)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(channels, 32, 5, stride=2, padding=2), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(7)),
            *(nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU()),
        )
        self.head = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return features, self.head(features)


def load_classifier(train: common.Dataset, test: common.Dataset, name: str, data_dir: str, device: torch.device):
    """The classifier of a data set: the one kept under `data_dir` if it was trained on the same, else a new one."""
    images, labels = train.images, train.labels
    made_of = {
        "data": train.source,
        "count": len(images),
        "shape": list(images.shape[1:]),
        "seed": 0,
        "torch": str(torch.__version__),
    }
    classifier = Classifier(images.shape[1], int(labels.max()) + 1).to(device)
    path = Path(data_dir) / f"classifier-{name}-{images.shape[1]}x{images.shape[2]}.pt"
    if path.exists():
        try:
            kept = torch.load(path, map_location=device, weights_only=True)
            if kept["made_of"] == made_of:
                classifier.load_state_dict(kept["weights"])
                return classifier.eval()
        except Exception as error:  # a damaged file can raise nearly anything; making it anew mends it
            print(f"{path} can't be read ({common.first_line(error)}): training the classifier again")
    train_classifier(classifier, images.to(device), labels.to(device))
    right = sum(
        (classify(classifier, x, device)[1].argmax(1) == y).sum().item()
        for x, y in zip(test.images.split(1000), test.labels.to(device).split(1000))
    )
    accuracy = right / len(test.images)
    print(f"classifier: {accuracy:.2%} right on {len(test.images):,} held-out images; kept in {path}")
    buffer = io.BytesIO()
    torch.save({"made_of": made_of, "accuracy": accuracy, "weights": classifier.state_dict()}, buffer)
    common.make_folder(path.parent)
    common.write_file(path, buffer.getvalue())
    return classifier.eval()


def train_classifier(classifier: Classifier, images: Tensor, labels: Tensor, steps: int = 1200) -> None:
    """Adam with a one-cycle learning rate, batches of 128: at most a minute on two cores."""
    torch.manual_seed(0)
    for module in classifier.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    optimizer = torch.optim.Adam(classifier.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc="training the classifier", mininterval=0.5 if sys.stderr.isatty() else 30):
        index = torch.randint(len(images), (128,), device=images.device)
        loss = F.cross_entropy(classifier(common.to_float(images[index]))[1], labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def classify(classifier: Classifier, images: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Features and logits of uint8 images N×C×H×W, in eval mode."""
    classifier.eval()
    parts = [classifier(common.to_float(part.to(device))) for part in images.split(500)]
    features, logits = zip(*parts)
    return torch.cat(features), torch.cat(logits)
