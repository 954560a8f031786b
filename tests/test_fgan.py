"""fgan.py's table and losses against numeric suprema, closed forms and finite differences."""

import csv
import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch import nn

import fgan
import wgan_gp

ALPHAS = {f"alpha {a}": fgan.alpha_divergence(a) for a in (-1.0, 0.3, 0.5, 0.8, 1.5, 2.0, 3.0)}
WEIGHTED = {f"pi {p}": fgan.weighted_jensen_shannon(p) for p in (0.1, 0.5, 0.9)}
ALL = {**fgan.DIVERGENCES, **ALPHAS, **WEIGHTED}
AT_ONE = {"gan": -math.log(4)}

each = pytest.mark.parametrize("name", ALL)


def f_at(name: str, u: float) -> float:
    return ALL[name].f(torch.tensor(u, dtype=torch.float64)).item()


@each
def test_f_is_convex_and_has_the_papers_value_at_one(name):
    f = ALL[name].f
    u = torch.logspace(-6, 4, 4001, dtype=torch.float64)
    a, b, c = u[:-2], u[1:-1], u[2:]
    chord = (f(a) * (c - b) + f(c) * (b - a)) / (c - a)
    assert (chord - f(b) >= -1e-9 * (1 + f(b).abs())).all()
    assert f_at(name, 1.0) == pytest.approx(AT_ONE.get(name, 0.0), abs=1e-12)


@each
def test_activation_increases(name):
    v = torch.linspace(-12, 12, 2001, dtype=torch.float64)
    assert (ALL[name].activation(v).diff() > 0).all()


@each
def test_conjugate_is_the_numeric_supremum(name):
    """f*(t) = sup_u { u t − f(u) }, for t from all over the image of g_f."""
    divergence = ALL[name]
    grid = np.linspace(-60, 60, 1201)  # of log u
    u, f = np.exp(grid), ALL[name].f(torch.from_numpy(np.exp(grid))).numpy()
    v = torch.linspace(-4, 4, 41, dtype=torch.float64)
    for t in divergence.activation(v).tolist():

        def minus(log_u, t=t):
            u = math.exp(log_u)
            return f_at(name, u) - u * t

        best = grid[np.argmin(f - u * t)]
        found = optimize.minimize_scalar(
            minus, bounds=(best - 0.1, best + 0.1), method="bounded", options={"xatol": 1e-12}
        )
        supremum = max(-found.fun, -minus(best))
        conjugate = divergence.conjugate(torch.tensor(t, dtype=torch.float64)).item()
        assert conjugate == pytest.approx(supremum, rel=1e-6, abs=1e-6), f"t = {t}"


@each
def test_composite_is_the_conjugate_of_the_activation(name):
    v = torch.linspace(-6, 6, 241, dtype=torch.float64)
    divergence = ALL[name]
    torch.testing.assert_close(
        divergence.composite(v), divergence.conjugate(divergence.activation(v)), rtol=1e-7, atol=1e-9
    )


P, Q = stats.norm(0.3, 1.0), stats.norm(-0.2, 1.1)
X = np.linspace(-12, 12, 200_001)
RATIO = torch.from_numpy(np.exp(P.logpdf(X) - Q.logpdf(X)))


def expect(density, values: torch.Tensor) -> float:
    return integrate.trapezoid(density.pdf(X) * values.numpy(), X)


def kl(m1: float, s1: float, m2: float, s2: float) -> float:
    return math.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5


def gaussian_power(a: float) -> float:
    """∫ pᵃ q¹⁻ᵃ of the two Gaussians."""
    (m1, s1), (m2, s2) = (0.3, 1.0), (-0.2, 1.1)
    variance = a * s2**2 + (1 - a) * s1**2
    return s1 ** (1 - a) * s2**a / math.sqrt(variance) * math.exp(-a * (1 - a) * (m1 - m2) ** 2 / (2 * variance))


CLOSED_FORMS = {
    "kl": kl(0.3, 1.0, -0.2, 1.1),
    "reverse_kl": kl(-0.2, 1.1, 0.3, 1.0),
    "jeffreys": kl(0.3, 1.0, -0.2, 1.1) + kl(-0.2, 1.1, 0.3, 1.0),
    "squared_hellinger": 2 - 2 * gaussian_power(0.5),
    "pearson_chi2": gaussian_power(2.0) - 1,
    "neyman_chi2": gaussian_power(-1.0) - 1,
    **{f"alpha {a}": (gaussian_power(a) - 1) / (a * (a - 1)) for a in (-1.0, 0.3, 0.5, 0.8, 1.5, 2.0, 3.0)},
}


def divergence_of_gaussians(name: str) -> float:
    """In closed form where there is one, else ∫ q f(p/q)."""
    return CLOSED_FORMS.get(name, expect(Q, ALL[name].f(RATIO)))


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_f_gives_the_closed_form(name):
    assert expect(Q, ALL[name].f(RATIO)) == pytest.approx(CLOSED_FORMS[name], rel=1e-6)


def test_jensen_shannon_gan_and_total_variation_are_what_they_are_called():
    p, q = P.pdf(X), Q.pdf(X)
    m = (p + q) / 2
    jsd = 0.5 * integrate.trapezoid(p * np.log(p / m) + q * np.log(q / m), X)
    assert divergence_of_gaussians("jensen_shannon") == pytest.approx(2 * jsd, rel=1e-8)
    assert divergence_of_gaussians("gan") == pytest.approx(2 * jsd - math.log(4), rel=1e-8)
    assert divergence_of_gaussians("total_variation") == pytest.approx(
        0.5 * integrate.trapezoid(abs(p - q), X), rel=1e-8
    )


@each
def test_the_bound_is_tight_at_the_optimal_T_and_never_exceeded(name):
    divergence, truth = ALL[name], divergence_of_gaussians(name)
    u = RATIO.clone().requires_grad_()
    (optimal,) = torch.autograd.grad(divergence.f(u).sum(), u)  # T* = f'(p/q)
    if name != "total_variation":  # whose f' is ±½, at the very edge of the domain
        bound = expect(P, optimal) - expect(Q, divergence.conjugate(optimal))
        assert bound == pytest.approx(truth, rel=1e-5, abs=1e-7)
    generator = torch.Generator().manual_seed(0)
    for _ in range(15):
        a, b, c = torch.randn(3, generator=generator, dtype=torch.float64).tolist()
        v = a + b * torch.from_numpy(X).clamp(-3, 3) + c * torch.from_numpy(np.sin(X))
        assert expect(P, divergence.activation(v)) - expect(Q, divergence.composite(v)) <= truth + 1e-9


@each
@pytest.mark.parametrize("objective", ["practical", "minimax"])
def test_gradients_equal_finite_differences(name, objective):
    v = torch.tensor([[-3.1, -0.7, 0.2], [0.5, 0.9, 1.4]], dtype=torch.float64, requires_grad=True)
    w = (v.detach() / 2 + 0.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: fgan.critic_loss(ALL[name], a, b), (v, w))
    assert torch.autograd.gradcheck(lambda a: fgan.generator_loss(ALL[name], a, objective), v)


@each
def test_losses_are_finite_wherever_float32_holds_the_value(name):
    divergence = ALL[name]
    v = torch.linspace(-50, 50, 2001)
    for function in (divergence.activation, divergence.composite):
        x = v.clone().requires_grad_()
        y = function(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        x64 = v.double().requires_grad_()
        y64 = function(x64)
        (slope64,) = torch.autograd.grad(y64.sum(), x64)
        largest = torch.finfo(torch.float32).max / 1e4  # leaves room for the factors of the chain rule
        holds = (y64.abs() < largest) & (slope64.abs() < largest)
        assert torch.isfinite(y[holds]).all()
        assert torch.isfinite(slope[holds]).all()
        torch.testing.assert_close(y[holds].double(), y64[holds], rtol=2e-4, atol=1e-5)


@each
def test_float64_and_shape_are_kept(name):
    v = torch.randn(2, 3, 4, dtype=torch.float64)
    for function in (ALL[name].activation, ALL[name].composite):
        assert function(v).shape == v.shape
        assert function(v).dtype == torch.float64
    assert ALL[name].f(v.exp()).dtype == torch.float64
    assert ALL[name].conjugate(ALL[name].activation(v)).shape == v.shape


def test_losses_by_hand():
    """kl: F = mean v_real − mean e^{v_fake − 1}."""
    kl_row = fgan.DIVERGENCES["kl"]
    v_real, v_fake = torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0])
    assert fgan.critic_loss(kl_row, v_real, v_fake).item() == pytest.approx(-(2.0 - 1.0))
    v_other = torch.tensor([1.0, 2.0])
    assert fgan.generator_loss(kl_row, v_other).item() == pytest.approx(-(1 + math.e) / 2)
    assert fgan.generator_loss(kl_row, v_other, "minimax").item() == pytest.approx(-(1 + math.e) / 2)
    assert fgan.generator_loss(kl_row, v_other, "practical").item() == pytest.approx(-1.5)
    gan = fgan.DIVERGENCES["gan"]
    expected = nn.functional.binary_cross_entropy_with_logits(v_real, torch.ones(2))
    expected = expected + nn.functional.binary_cross_entropy_with_logits(v_fake, torch.zeros(2))
    torch.testing.assert_close(fgan.critic_loss(gan, v_real, v_fake), expected)


# Why a K-Lipschitz V: near v₁, where g_f(v₁) = f'(1), every row is the same game, that of the Wasserstein distance.

V_AT_ONE = {  # where V says "as much data as samples"
    **{"total_variation": 0.0, "kl": 1.0, "reverse_kl": 0.0, "pearson_chi2": 0.0, "neyman_chi2": 0.0},
    **{"squared_hellinger": 0.0, "jeffreys": 0.0, "jensen_shannon": 0.0, "gan": 0.0},
}


@pytest.mark.parametrize("name", V_AT_ONE)
def test_where_V_can_not_tell_F_is_f_of_one_and_both_kinds_of_images_weigh_the_same(name):
    divergence = ALL[name]
    v = torch.tensor(V_AT_ONE[name], dtype=torch.float64, requires_grad=True)
    assert -fgan.critic_loss(divergence, v, v).item() == pytest.approx(f_at(name, 1.0), abs=1e-12)
    real, fake = (torch.autograd.grad(function(v), v)[0] for function in (divergence.activation, divergence.composite))
    assert real.item() == pytest.approx(fake.item(), rel=1e-12)
    assert real > 0


@pytest.mark.parametrize("name", V_AT_ONE)
def test_a_small_K_makes_F_a_multiple_of_the_critics_difference(name):
    """F(v₁ + K d) = f(1) + K g_f'(v₁) (E d(x) − E d(G(z))) + o(K): for every row the estimate of wgan.py."""
    torch.manual_seed(0)
    divergence, K = ALL[name], 1e-4
    v = torch.tensor(V_AT_ONE[name], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(divergence.activation(v), v)
    d_real, d_fake = torch.randn(2, 100, dtype=torch.float64)
    bound = -fgan.critic_loss(divergence, v.detach() + K * d_real, v.detach() + K * d_fake).item()
    expected = f_at(name, 1.0) + K * slope.item() * (d_real.mean() - d_fake.mean()).item()
    assert bound == pytest.approx(expected, abs=20 * K**2)


def test_the_penalty_is_that_of_wgan_gp():
    torch.manual_seed(0)
    D = nn.Sequential(nn.Flatten(), nn.Linear(15, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    x, fake = torch.randn(2, 4, 1, 3, 5, dtype=torch.float64)
    epsilon = torch.rand(4, 1, 1, 1, dtype=torch.float64)
    for ours, theirs in zip(fgan.gradient_penalty(D, x, fake, epsilon), wgan_gp.gradient_penalty(D, x, fake, epsilon)):
        assert ours.item() == theirs.item()


@pytest.mark.parametrize("objective", ["minimax", "practical"])
@pytest.mark.parametrize("divergence", ["kl", "squared_hellinger", "total_variation", "neyman_chi2"])
def test_the_rows_that_were_hardest_learn(divergence, objective, command_line, tmp_path):
    """After 100 steps V's slope is about K, V tells real from generated, and the samples are not one plain grey."""
    flags = ("--divergence", divergence, "--generator-objective", objective, "--width", 4, "--hidden", 64)
    code, _, err = command_line("fgan", *flags, "--steps", 100, "--log-every", 10)
    assert code == 0, err
    rows = list(csv.DictReader((tmp_path / "out/fgan/log.csv").open(encoding="utf-8")))
    gaps = [float(row["T_real"]) - float(row["T_fake"]) for row in rows[-4:]]
    assert min(gaps) > 0.01, gaps
    assert all(0.5 < float(row["gradient_norm"]) < 2 for row in rows[-4:]), rows[-4:]


def test_an_alpha_that_outweighs_the_penalty_is_said_before_the_first_step(command_line):
    flags = ("--steps", 1, "--batch-size", 8, "--width", 4, "--hidden", 16, "--divergence", "alpha", "--alpha")
    assert "take α 0.65 or less, or above 1" in command_line("fgan", *flags, 0.8)[1]
    for alpha in (-1, 0.5, 1.5):
        assert "take α" not in command_line("fgan", *flags, alpha)[1]
