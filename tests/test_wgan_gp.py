"""wgan_gp.py: the gradient penalty."""

import pytest
import torch
from torch import nn

import common
import wgan_gp


class Linear(nn.Module):
    """f(x) = ⟨w, x⟩, whose gradient is w everywhere."""

    def __init__(self, shape) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(shape, dtype=torch.float64))
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach())
        return (x * self.w).flatten(1).sum(1)


def test_penalty_of_a_linear_critic_on_images_that_are_not_square():
    torch.manual_seed(0)
    D = Linear((3, 5, 7))
    x, fake = torch.randn(4, 3, 5, 7, dtype=torch.float64), torch.randn(4, 3, 5, 7, dtype=torch.float64)
    penalty, norm = wgan_gp.gradient_penalty(D, x, fake, torch.rand(4, 1, 1, 1, dtype=torch.float64))
    size = D.w.detach().norm()
    assert penalty.item() == pytest.approx((size.item() - 1) ** 2, rel=1e-12)
    assert norm.item() == pytest.approx(size.item(), rel=1e-12)
    penalty.backward()  # the second derivative: d(‖w‖ − 1)²/dw
    torch.testing.assert_close(D.w.grad, 2 * (size - 1) * D.w.detach() / size)


def test_penalty_against_finite_differences():
    """For a critic that is not linear: its gradient norm from central differences, image by image."""
    torch.manual_seed(0)
    D = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    x, fake, e = torch.randn(3, 1, 2, 3).double(), torch.randn(3, 1, 2, 3).double(), torch.rand(3, 1, 1, 1).double()
    between = (e * x + (1 - e) * fake).flatten(1)
    step = 1e-6 * torch.eye(6, dtype=torch.float64)
    slopes = torch.stack([(D(between + s) - D(between - s)) / 2e-6 for s in step], dim=1)
    expected = ((slopes.norm(dim=1) - 1) ** 2).mean().item()
    assert wgan_gp.gradient_penalty(D, x, fake, e)[0].item() == pytest.approx(expected, rel=1e-6)


def test_points_lie_on_the_segments_with_one_epsilon_per_image(data_dir, tmp_path):
    hp = wgan_gp.Hyperparameters(batch_size=16, data_dir=data_dir, out=str(tmp_path / "run"))
    run = common.Run(hp)
    epsilon = run.epsilon()
    assert epsilon.shape == (16, 1, 1, 1)
    assert epsilon.min() >= 0
    assert epsilon.max() <= 1
    assert epsilon.unique().numel() == 16
    D = Linear((1, 28, 28))
    x, fake = torch.randn(16, 1, 28, 28).double(), torch.randn(16, 1, 28, 28).double()
    wgan_gp.gradient_penalty(D, x, fake, epsilon)
    ratio = (D.seen[0] - fake) / (x - fake)
    torch.testing.assert_close(ratio, epsilon.double().expand_as(ratio), rtol=1e-4, atol=1e-4)


def test_first_weights_give_D_a_gradient_of_a_few():
    torch.manual_seed(0)
    hp = wgan_gp.Hyperparameters(image_size=28, channels=1)
    G, D = wgan_gp.Generator(hp), wgan_gp.Discriminator(hp)
    for weight in (p for net in (G, D) for p in net.parameters() if p.dim() > 1):
        assert weight.std().item() == pytest.approx(0.1, rel=0.15)
    x, fake = torch.rand(16, 1, 28, 28) * 2 - 1, G(common.noise(16, hp.z_dim)).detach()
    assert 1 < wgan_gp.gradient_penalty(D, x, fake, torch.rand(16, 1, 1, 1))[1].item() < 4


def test_the_penalty_builds_no_graph_through_G():
    hp = wgan_gp.Hyperparameters(image_size=28, channels=1)
    G, D = wgan_gp.Generator(hp), wgan_gp.Discriminator(hp)
    with torch.no_grad():
        fake = G(common.noise(4, hp.z_dim))
    penalty, _ = wgan_gp.gradient_penalty(D, torch.randn(4, 1, 28, 28), fake, torch.rand(4, 1, 1, 1))
    penalty.backward()
    assert all(p.grad is None for p in G.parameters())
    assert any(p.grad.abs().sum() > 0 for p in D.parameters())
