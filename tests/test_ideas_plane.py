"""ideas/plane.py: six games at work at once, each by its own rules (tolerances: three seeds)."""

import functools
import sys

import pytest
import torch
from PIL import Image

from ideas import plane
from ideas.toys import modes_covered


@pytest.fixture(scope="module")
def games():
    games = plane.Games(seed=0)
    for _ in range(200):
        games.step()
    return games


def share_near(games: plane.Games) -> dict[str, float]:
    samples = games.G(torch.randn(2000, 2).expand(6, -1, -1)).detach()
    return {name: modes_covered(points, plane.SIGMA)[1] for name, points in zip(plane.NAMES, samples)}


def test_the_ring_is_being_found(games):
    before, after = share_near(plane.Games(seed=0)), share_near(games)
    for name in ("GAN", "f-GAN, reverse_kl"):
        assert after[name] > before[name] + 0.07  # 0.07 to 0.16 before; 0.22 to 0.27 after


def test_each_game_keeps_its_rules(games):
    assert max(weight.abs().max() for weight in games.critic.parameters()) <= plane.CLIP
    assert max(weight.abs().max() for weight in games.D.parameters()) > plane.CLIP
    assert 0 <= games.k <= 1
    x = (3 * torch.rand(500, 2) - 1.5).requires_grad_()
    slope = torch.autograd.grad(games.D(x[None], slice(1, 2)).sum(), x)[0].norm(dim=1)
    assert 0.3 < slope.mean() < 2  # the penalty


def test_the_arrows_lower_Gs_loss(games):
    side = torch.linspace(-1, 1, 5)
    samples, arrows, values = games.look(torch.cartesian_prod(side, side))
    assert samples.shape == arrows.shape == (6, 400, 2)
    assert values.shape == (6, 25)
    before, after = games.losses_G(samples), games.losses_G(samples + 1e-2 * arrows)
    assert all(new < old for old, new in zip(before, after))


def test_players_learn_from_nobody_elses_game():
    """The games stand side by side in one tensor. Another WGAN must change nothing in the others."""
    found = []
    for n_critic in (1, 2):
        games = plane.Games(seed=1)
        torch.manual_seed(2)
        plane_n_critic, plane.N_CRITIC = plane.N_CRITIC, n_critic
        games.step()
        plane.N_CRITIC = plane_n_critic
        found.append(games.G(games.z).detach())
    wgan = plane.NAMES.index("WGAN")
    for i in range(6):
        assert torch.equal(found[0][i], found[1][i]) == (i != wgan)


def test_the_command_prints_its_table_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plane, "draw", functools.partial(plane.draw, steps=3))
    monkeypatch.setattr(sys, "argv", ["plane", "--seed", "3", "--out", str(tmp_path / "new")])
    plane.main()
    out = capsys.readouterr().out
    assert all(f"| {name}: modes, near one | 8, 99% | " in out for name in plane.NAMES)
    assert Image.open(tmp_path / "new" / "plane.png").width > 1000
    moving = Image.open(tmp_path / "new" / "plane.gif")
    assert moving.n_frames == len({round(3 * (i / (plane.FRAMES - 1)) ** 1.5) for i in range(plane.FRAMES)})
