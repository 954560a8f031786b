"""The Parzen window against densities that are known in closed form."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from evaluation.metrics import log_likelihood, parzen


def normal(mean: torch.Tensor, variance: float) -> MultivariateNormal:
    return MultivariateNormal(mean, variance * torch.eye(len(mean), dtype=mean.dtype))


def test_one_sample_is_a_gaussian():
    x, s = torch.randn(7, 5, dtype=torch.float64), torch.randn(1, 5, dtype=torch.float64)
    found = parzen(x, s, [0.3, 2.0])
    for row, h in zip(found, (0.3, 2.0)):
        torch.testing.assert_close(row, normal(s[0], h**2).log_prob(x), rtol=1e-6, atol=1e-5)


def test_several_samples_are_their_mean_density():
    x, s = torch.randn(600, 3, dtype=torch.float64), torch.randn(20, 3, dtype=torch.float64)
    expected = torch.stack([normal(centre, 0.25).log_prob(x).exp() for centre in s]).mean(0).log()
    torch.testing.assert_close(parzen(x, s, [0.5])[0], expected, rtol=1e-6, atol=1e-5)


def test_far_from_every_sample_and_on_one_of_them():
    """784 numbers, as in a picture: the density itself would be 0 or infinite in float32, its logarithm is not."""
    s = torch.zeros(3, 784)
    x = torch.stack([torch.zeros(784), torch.full((784,), 5.0)])
    h = 0.05
    constant = -784 / 2 * math.log(2 * math.pi * h**2)
    assert parzen(x, s, [h])[0].tolist() == pytest.approx([constant, constant - 784 * 25 / (2 * h**2)], rel=1e-6)


def test_the_estimate_approaches_the_density_that_the_samples_come_from():
    """E log p(x) of a normal density in 2 dimensions is −log(2πe σ²); the error falls with the number of samples."""
    generator = torch.Generator().manual_seed(0)
    held_out = 0.3 * torch.randn(4000, 2, generator=generator)
    truth = -math.log(2 * math.pi * math.e * 0.3**2)
    found = [log_likelihood(0.3 * torch.randn(n, 2, generator=generator), held_out) for n in (10, 200, 10_000)]
    errors = [abs(row["kde_nats"] - truth) for row in found]
    assert errors[0] > 3 * errors[1] > 3 * errors[2]
    assert errors[2] < 0.03
    assert found[2]["kde_error"] == pytest.approx(1 / math.sqrt(3800), rel=0.1)  # log p(x) has variance d/2 = 1
    assert [row["kde_samples"] for row in found] == [10, 200, 10_000]


def test_the_bandwidth_is_the_best_of_the_grid_on_points_that_are_not_counted():
    generator = torch.Generator().manual_seed(1)
    samples, held_out = torch.rand(500, 4, generator=generator), torch.rand(2000, 4, generator=generator)
    grid = [0.01, 0.03, 0.1, 0.3, 1.0]
    found = log_likelihood(samples, held_out, grid)
    means = parzen(held_out, samples, grid).mean(1)
    assert found["kde_bandwidth"] == grid[means.argmax()] == 0.1
    alone = log_likelihood(samples, held_out, [0.1])
    assert alone == found
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    assert found["kde_nats"] == pytest.approx(parzen(held_out[order[100:]], samples, [0.1]).mean().item(), abs=1e-4)
