"""The Parzen window: the log-likelihood of real images under the density of samples smoothed by a Gaussian kernel.

Not here: which images are the samples and which are the real ones (reference.py).
"""

import math

import torch
from torch import Tensor

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
