"""ideas/fgan.py: its truths in closed form, and what its games find beside its truths (tolerances: four seeds)."""

import functools
import math
import sys

import pytest
import torch
from PIL import Image

import fgan as lesson
from ideas import fgan
from ideas.toys import MEANS, SHARES, SIGMAS, centres, modes_covered, normal, p, ring


def test_kl_is_smallest_at_the_mean_and_the_spread_of_the_data():
    mean = (SHARES * MEANS).sum().item()
    sigma = math.sqrt((SHARES * (SIGMAS**2 + MEANS**2)).sum().item() - mean**2)
    assert fgan.best_fit("kl") == pytest.approx((mean, sigma), abs=1e-3)


@pytest.mark.parametrize("name", lesson.DIVERGENCES)
def test_no_neighbour_of_the_best_fit_is_better(name):
    mean, sigma = fgan.best_fit(name)
    smallest = fgan.divergence(name, mean, sigma)
    for a, b in ((0.02, 0), (-0.02, 0), (0, 0.02), (0, -0.02), (2.0, 0), (0, 1.0)):
        assert fgan.divergence(name, mean + a, sigma + b) > smallest


def test_the_best_V_in_closed_form():
    r = torch.linspace(-2, 2, 9).double()
    closed = {"kl": r + 1, "gan": r, "jensen_shannon": r, "reverse_kl": r, "squared_hellinger": r / 2}
    closed |= {"neyman_chi2": 2 * r, "pearson_chi2": 2 * torch.expm1(r), "jeffreys": r + 1 - (-r).exp()}
    for name, expected in closed.items():
        torch.testing.assert_close(fgan.best_V(name, r), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", lesson.DIVERGENCES)
def test_the_bound_of_the_best_V_is_the_divergence(name):
    """E_P g_f(V) − E_Q f*(g_f(V)) at the best V, and less at any other."""
    x = torch.linspace(-6, 6, 4001).double()
    mean, sigma = (
        (-0.9, 0.6) if name in ("neyman_chi2", "jeffreys") else (0.1, 1.4)
    )  # of a wide q the first is infinite
    q = normal(x, mean, sigma)
    v = fgan.best_V(name, (p(x) / q).log())

    def bound(v):
        row = lesson.DIVERGENCES[name]
        return torch.trapezoid(p(x) * row.activation(v) - q * row.composite(v), x).item()

    assert bound(v) == pytest.approx(fgan.divergence(name, mean, sigma).item(), abs=2e-3)
    assert bound(v) > bound(0.9 * v)
    assert bound(v) > bound(v * (1 + 0.1 * x.sin()) - 0.1)


FITTED = [name for name in lesson.DIVERGENCES if name != "total_variation"]  # whose V ends in its flat parts


@pytest.fixture(scope="module")
def games():
    mean, sigma, F, _ = fgan.fit_the_line(FITTED, seed=0)
    return dict(zip(FITTED, zip(mean.tolist(), sigma.tolist(), F.tolist())))


@pytest.mark.parametrize("name", FITTED)
def test_a_game_finds_the_smallest_divergence(name, games):
    *found, F = games[name]
    best = fgan.best_fit(name)
    farther = name == "jeffreys"  # ends least near
    assert found == pytest.approx(best, abs=0.15 if farther else 0.06)  # 0.10 at most; the others 0.04
    truth = fgan.divergence(name, *best).item()
    assert pytest.approx(truth, abs=0.1 if farther else 0.02) == F  # 0.055 at most; the others 0.008


def test_kl_covers_the_ring_and_reverse_kl_takes_a_part():
    clouds = fgan.fit_the_ring(["kl", "reverse_kl"], seed=0)
    (covered_kl, near_kl), (covered_reverse, near_reverse) = (modes_covered(clouds[name], 0.3) for name in clouds)
    assert covered_kl == 8
    assert covered_reverse <= 4
    assert near_kl < 0.7 < 0.8 < near_reverse  # 0.54 to 0.56 and 0.89 to 0.92: kl pays with points between the modes


def test_modes_are_counted():
    points = centres()[:5].repeat_interleave(100, 0)
    assert modes_covered(points, 0.1) == (5, 1.0)
    assert modes_covered(torch.cat([points, torch.zeros(500, 2)]), 0.1) == (5, 0.5)
    covered, near = modes_covered(ring(20_000, 0.1), 0.1)
    assert covered == 8
    assert near == pytest.approx(1 - math.exp(-4.5), abs=0.004)  # within 3σ, in two dimensions


def test_the_command_prints_its_table_and_draws(tmp_path, monkeypatch, capsys):
    for name in ("fit_the_line", "fit_the_ring"):
        monkeypatch.setattr(fgan, name, functools.partial(getattr(fgan, name), steps=2))
    monkeypatch.setattr(sys, "argv", ["fgan", "--seed", "3", "--out", str(tmp_path / "new")])
    fgan.main()
    out = capsys.readouterr().out
    assert all(f"| {name}: μ, σ, D_f | " in out for name in lesson.DIVERGENCES)
    assert Image.open(tmp_path / "new" / "fgan.png").width > 1000
