"""FID, KID, Inception Score, precision, recall, density, coverage; the log-likelihood by a Parzen window.

Functions of features, logits and pixels. Not here: where the features come from (features.py), what is compared with
what (reference.py).
"""

import math
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
    """Squared maximum mean discrepancy with a cubic kernel; the mean over 100 random subsets of 1,000 (Bińkowski's), or
    of half the set: subsets as large as the set would all be the same one."""
    torch.manual_seed(0)
    size = min(1000, len(real) // 2, len(fake) // 2)
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

    The neighbourhood of a point is the ball that reaches to its k-th nearest neighbour in its own set. k = 5 is
    Naeem's, whose code takes it for all four; Kynkäänniemi's precision and recall are with 3.
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


SAMPLES = 16_000  # as many as Nowozin et al. 2016 took
BANDWIDTHS = torch.logspace(math.log10(0.02), 0, 80).tolist()  # 5 % apart: the best is missed by half a nat at most


def parzen(points: Tensor, samples: Tensor, bandwidths: list[float]) -> Tensor:
    """Natural logarithm of the density (1/N) Σᵢ N(x; sᵢ, h² 1) at each of M points, for each of B bandwidths h: B×M.

    points: M×d; samples s: N×d.
    """
    found = []
    square = (samples**2).sum(1)
    for part in points.split(50):
        # |x − s|² = |s|² − 2xs + |x|², by one matrix product
        distance = (torch.addmm(square, part, samples.T, alpha=-2) + (part**2).sum(1, keepdim=True)).clamp(min=0)
        nearest = distance.amin(1, keepdim=True)
        found.append(torch.stack([log_sum(nearest, distance, h) for h in bandwidths]))
    h = torch.tensor(bandwidths, device=points.device)[:, None]
    scale = math.log(len(samples)) + samples.shape[1] / 2 * (2 * math.pi * h**2).log()
    return torch.cat(found, dim=1) - scale


def log_sum(nearest: Tensor, distance: Tensor, h: float) -> Tensor:
    """log Σ exp(−distance/2h²) over the columns of M×N squared distances, whose smallest in each row is `nearest`, M×1.

    torch.logsumexp takes ten times as long here: it computes exponentials so small that the processor turns slow.
    """
    terms = ((nearest - distance) / (2 * h**2)).clamp_(min=-60).exp_()  # e⁻⁶⁰ beside a 1 is nothing
    return terms.sum(1).log() - nearest[:, 0] / (2 * h**2)


def log_likelihood(samples: Tensor, held_out: Tensor, bandwidths: list[float] = BANDWIDTHS) -> dict[str, float]:
    """kde_nats: the mean log density of held-out points under the smoothed samples; kde_error: its standard error.

    A twentieth of the held-out points, drawn at random, chooses the bandwidth; the others give the number.
    samples: N×d; held_out: M×d, at least 40 of them.
    """
    order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0)).to(held_out.device)
    few = len(order) // 20
    choosing, measuring = held_out[order[:few]], held_out[order[few:]]
    best = parzen(choosing, samples, bandwidths).mean(1).argmax()
    values = parzen(measuring, samples, [bandwidths[best]])[0].cpu().double()
    return {
        "kde_nats": values.mean().item(),
        "kde_error": (values.std() / math.sqrt(len(values))).item(),
        "kde_bandwidth": bandwidths[best],
        "kde_samples": len(samples),
    }
