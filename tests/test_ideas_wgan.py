"""ideas/wgan.py: the estimates of judge, critic and blind critic against the truth (tolerances: five seeds)."""

import math

import pytest
import torch

from ideas import wgan


def test_the_true_jensen_shannon_divergence():
    assert wgan.jensen_shannon(0) == pytest.approx(0, abs=1e-9)
    assert wgan.jensen_shannon(2) == pytest.approx(math.log(2), abs=1e-6)
    x = -0.05 + wgan.SIGMA * torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    log_ratio = -0.1 * x / wgan.SIGMA**2  # log p/q for θ = 0.1
    by_samples = math.log(2) - torch.nn.functional.softplus(-log_ratio).mean().item()  # p and q mirror each other
    assert wgan.jensen_shannon(0.1) == pytest.approx(by_samples, abs=0.002)


def test_the_judge_says_log_2_however_far_apart():
    for theta, tolerance in ((0.1, 0.03), (1.5, 0.002)):  # 0.013 and 0.0003 at most
        D = wgan.train("judge", theta, seed=0)
        assert wgan.estimate("judge", D, theta) == pytest.approx(wgan.jensen_shannon(theta), abs=tolerance)
    assert abs(wgan.slope("judge", D, 0.75)) < 0.01  # 0.002: no slope left for the minimax form
    assert wgan.slope("judge, −log D", D, 0.75) > 1  # 9 to 11


def test_the_critic_tells_near_from_far_up_to_K():
    shares = []
    for theta in (0.1, 0.5, 1.5):
        D = wgan.train("critic", theta, seed=0)
        shares.append(wgan.estimate("critic", D, theta) / theta)
        x = torch.linspace(-3, 3, 601)[:, None].requires_grad_()
        assert torch.autograd.grad(D(x).sum(), x)[0].abs().max() <= wgan.K + 1e-5
    assert all(0.45 < share <= wgan.K for share in shares)  # 0.54 to 0.69
    assert max(shares) / min(shares) < 1.15  # 1.02 to 1.08: it grows as W does
    assert 0.45 < wgan.slope("critic", D, 0.75) <= wgan.K


def test_BatchNorm_apart_sees_no_shift():
    for theta in (0.1, 1.5):
        D = wgan.train("blind", theta, seed=0, steps=50)
        assert abs(wgan.estimate("blind", D, theta)) < 1e-3 * theta + 1e-3
    x, fake = wgan.samples(1.5, 512)  # exactly: 0.4 Σ wᵢ (E|aᵢ| real − E|aᵢ| fake), as E aᵢ is the same for both
    w, (a, b) = D[-1].weight[0], (D[:2](x), D[:2](fake))
    shapes = 0.4 * (w * (a.abs().mean(0) - b.abs().mean(0))).sum()
    torch.testing.assert_close(D(x).mean() - D(fake).mean(), shapes, atol=1e-5, rtol=0)
