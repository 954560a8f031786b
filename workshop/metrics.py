"""FID, KID, Inception Score, precision, recall, density, coverage: functions of features, logits and pixels.

Not here: where the features come from (classifier.py), what is compared with what (reference.py).
"""

import warnings

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

warnings.filterwarnings("ignore", ".*will save all extracted features", UserWarning)  # they are few here


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
    found, squares = [], torch.linalg.vector_norm(others, dim=1) ** 2
    for part in points.split(500):
        # |a − b|² = |a|² − 2ab + |b|², of which |a|² does not decide who is nearest
        index = torch.addmm(squares, part, others.T, alpha=-2).argmin(1)
        found.append((((part - others[index]) ** 2).mean(1).sqrt(), index))
    distances, indices = zip(*found)
    return torch.cat(distances), torch.cat(indices)
