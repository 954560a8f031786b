"""ideas/wgan_gp.py: the best critic, and what clipping and the penalty make of it (tolerances: five seeds)."""

import pytest
import torch
from torch import nn

import wgan_gp as lesson
from ideas import wgan_gp


class Best(nn.Module):
    """f*(x) = −|‖x‖ − 2|."""

    def forward(self, x):
        return -(x.norm(dim=1) - 2).abs()


def test_the_best_critic_reaches_W_with_slope_1():
    assert wgan_gp.estimate(Best()) == pytest.approx(1, abs=1e-5)
    penalty, norm = lesson.gradient_penalty(Best(), wgan_gp.real(64), wgan_gp.generated(64), torch.rand(64, 1))
    assert penalty.item() == pytest.approx(0, abs=1e-5)
    assert norm.item() == pytest.approx(1, abs=1e-5)


def test_a_gradient_can_be_differentiated():
    assert wgan_gp.differentiate_twice() == (12, 264)


def test_the_penalty_holds_the_slope_and_clipping_leaves_K_open():
    torch.manual_seed(0)
    inside = wgan_gp.on_circle(torch.ones(999, 1))  # a half of the samples
    found = {}
    for name, c in (("clipped", wgan_gp.C), ("at 2c", 2 * wgan_gp.C), ("penalty", None)):
        D = wgan_gp.train(c, seed=0, steps=300)
        found[name] = wgan_gp.estimate(D), wgan_gp.slopes(D, inside).mean().item(), wgan_gp.weights(D).abs().max()
    assert 0.4 < found["penalty"][0] < 1.1  # 0.56 to 0.88; 600 steps bring it to 1
    assert found["penalty"][1] == pytest.approx(1, abs=0.1)  # 0.97 to 1.03
    assert found["clipped"][1] < 0.75  # 0.42 to 0.58
    assert found["at 2c"][0] > 4 * found["clipped"][0]
    assert found["clipped"][2] <= wgan_gp.C
