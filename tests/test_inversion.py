"""Space continuity: the z that is found, and what is found for an image that no z makes."""

import pytest
import torch
from torch import nn

from evaluation.inversion import continuity, distances, find


class Linear(nn.Module):
    """G(z) with a z for each of its images, and none for any other."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.map = nn.Parameter(torch.linalg.qr(torch.randn(64, 4, generator=generator))[0].T)

    def forward(self, z):
        return (z @ self.map).view(-1, 1, 8, 8)


def noise(seed: int, n: int) -> torch.Tensor:
    return torch.empty(n, 4).uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))


def test_the_z_of_an_image_of_g_is_found():
    G, z = Linear(), 0.9 * noise(5, 6)
    with torch.no_grad():
        images = G(z)
    found = find(G, images, noise(1, 50), steps=300)
    torch.testing.assert_close(found, z, atol=0.01, rtol=0)
    assert distances(G, found, images).max() < 0.001
    assert G.map.grad is None


def test_of_an_image_that_no_z_makes_the_nearest_is_found():
    """That of a linear G is the projection; the distance is what the projection leaves."""
    G, z = Linear(), 0.5 * noise(6, 1)
    outside = torch.randn(64, generator=torch.Generator().manual_seed(1))
    outside = (outside - outside @ G.map.T @ G.map).detach().view(1, 1, 8, 8)
    with torch.no_grad():
        images = G(z) + outside
    found = find(G, images, noise(1, 50), steps=300)
    torch.testing.assert_close(found, z, atol=0.01, rtol=0)
    assert distances(G, found, images).item() == pytest.approx(outside.square().mean().sqrt().item() / 2, rel=1e-3)


def test_lines_begin_and_end_with_the_real_images():
    G = nn.Sequential(Linear(), nn.Tanh())
    G.train()
    real = torch.randint(0, 256, (32, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    numbers, lines = continuity(G, real, noise)
    assert G.training
    assert lines.shape == (20, 1, 8, 8)
    ends = ((lines[[0, 9, 10, 19]] + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(ends, real[:4])
    assert numbers["inversion_own"] < 0.02 < 0.2 < numbers["inversion"]
