"""What each divergence does when G can't match the data: two small games of fgan.py's losses, without images.

On a line one Gaussian is fitted to a mixture of two (section 2.5 of the paper). In the plane it is fitted to a ring of
eight. The games of all divergences run side by side, as one batch of small networks. V has neither asinh nor drift.
The picture of both is `python -m benchmarks.figures modes`; this command prints what the Gaussian on the ring covers:

python -m benchmarks.modes --seed 1
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import integrate, optimize, stats
from torch import Tensor, nn

import fgan
from training.terminal import read_flags

MIXTURE = [(0.6, -0.8, 0.5), (0.4, 0.9, 0.8)]  # weight, mean, standard deviation
RADIUS, WIDTH = 2.0, 0.3  # of the ring, and the standard deviation of each of its eight Gaussians


@dataclass(kw_only=True)
class Options:
    """One game on the ring."""

    seed: int = 0
    """Of the weights, the noise and the start."""
    lr_G: float = 3e-3
    """G's learning rate at the beginning; V's is 0.01."""


def mixture_pdf(x: np.ndarray) -> np.ndarray:
    return sum(w * stats.norm.pdf(x, m, s) for w, m, s in MIXTURE)


def best_fit(name: str) -> np.ndarray:
    """μ, σ that minimise the divergence itself, by numeric integration."""
    x = np.linspace(-15, 15, 6001)
    p = mixture_pdf(x)

    def divergence(theta):
        q = stats.norm.pdf(x, theta[0], math.exp(theta[1])) + 1e-290
        values = fgan.DIVERGENCES[name].f(torch.from_numpy((p + 1e-290) / q)).numpy() * q
        return integrate.trapezoid(np.nan_to_num(values, nan=1e9, posinf=1e9), x)

    fits = [optimize.minimize(divergence, [m, s], method="Nelder-Mead") for m, s in ((0.0, 0.3), (-1.0, -0.5))]
    best = min(fits, key=lambda fit: fit.fun).x
    return np.array([best[0], math.exp(best[1])])


class Networks(nn.Module):
    """`count` small networks V side by side: count×N×a to count×N, tanh between the layers."""

    def __init__(self, count: int, inputs: int, hidden: int = 32) -> None:
        super().__init__()
        shapes = [(inputs, hidden), (hidden, hidden), (hidden, 1)]
        weights = [torch.randn(a, b) / math.sqrt(a) for a, b in shapes]  # the same first weights for every game
        self.weights = nn.ParameterList([weight.repeat(count, 1, 1) for weight in weights])
        self.biases = nn.ParameterList([torch.zeros(count, 1, b) for _, b in shapes])
        with torch.no_grad():
            self.weights[-1] *= 0.1  # V starts near 0, as in fgan.py

    def forward(self, x: Tensor) -> Tensor:
        first, *others = zip(self.weights, self.biases)
        x = torch.baddbmm(first[1], x, first[0])
        for weight, bias in others:
            x = torch.baddbmm(bias, x.tanh(), weight)
        return x.squeeze(2)


def play(rows: list[fgan.Divergence], V: Networks, opt_V, G: list[Tensor], opt_G, x: Tensor, fake: Tensor) -> None:
    """One step of Algorithm 1 in every game: x (real) and fake are games×N×dimensions, G the parameters behind fake."""
    v_real, v_fake = V(torch.cat([x, fake], dim=1)).chunk(2, dim=1)
    loss_V = sum(fgan.critic_loss(row, real, made) for row, real, made in zip(rows, v_real, v_fake))
    loss_G = sum(fgan.generator_loss(row, made, "minimax") for row, made in zip(rows, v_fake))
    opt_V.zero_grad()
    loss_V.backward(inputs=list(V.parameters()), retain_graph=True)
    opt_G.zero_grad()
    loss_G.backward(inputs=G)
    opt_V.step()
    opt_G.step()


def fit_by_the_game(names: list[str], steps: int = 800) -> dict[str, np.ndarray]:
    """μ, σ found by G against V for each divergence. Expectations are integrals on a grid, without noise."""
    torch.manual_seed(0)
    count, n = len(names), 129
    x = torch.linspace(-6, 6, n)[:, None].expand(count, -1, -1)
    z = torch.linspace(-5, 5, n)[:, None].expand(count, -1, -1)
    # The density times the grid's length, so that the mean over the grid is an integral
    weight_x = torch.from_numpy(mixture_pdf(x[0, :, 0].numpy())).float() * 12 * n / (n - 1)
    weight_z = torch.from_numpy(stats.norm.pdf(z[0, :, 0].numpy())).float() * 10 * n / (n - 1)
    rows = [weighted(fgan.DIVERGENCES[name], weight_x, weight_z) for name in names]
    V = Networks(count, 1)
    mean, log_sigma = torch.zeros(count, 1, 1).requires_grad_(), torch.full((count, 1, 1), 0.3).requires_grad_()
    opt_V = torch.optim.Adam(V.parameters(), lr=1e-2, betas=(0.5, 0.99), fused=True)
    opt_G = torch.optim.Adam([mean, log_sigma], betas=(0.5, 0.9), fused=True)
    path = []
    for step in range(steps):
        opt_G.param_groups[0]["lr"] = 1e-2 * (1 - step / steps) + 1e-4
        play(rows, V, opt_V, [mean, log_sigma], opt_G, x, mean + log_sigma.exp() * z)
        path.append(torch.cat([mean, log_sigma.exp()], dim=2).detach()[:, 0].numpy())
    return dict(zip(names, np.mean(path[-200:], axis=0)))


def weighted(row: fgan.Divergence, weight_x: Tensor, weight_z: Tensor) -> fgan.Divergence:
    """The row whose mean over a grid is an expectation: the losses take the mean of what these return."""
    return fgan.Divergence(
        row.f,
        activation=lambda v: weight_x * row.activation(v),
        conjugate=row.conjugate,
        composite=lambda v: weight_z * row.composite(v),
    )


def fit_the_ring(names: list[str], seed: int, lr_G: float = 3e-3, steps: int = 2500) -> dict[str, Tensor]:
    """2000 points of a two-dimensional Gaussian G(z) = A z + b for each divergence.

    G starts small (σ 0.3) and beside the ring, V learns three times as fast: only then does V know the density ratio
    well enough for the divergences to differ.
    """
    torch.manual_seed(seed)
    count, batch = len(names), 128
    rows = [fgan.DIVERGENCES[name] for name in names]
    V = Networks(count, 2)
    angle = torch.rand(1) * 2 * math.pi
    A = (0.3 * torch.eye(2)).repeat(count, 1, 1).requires_grad_()
    b = (0.75 * RADIUS * torch.cat([angle.cos(), angle.sin()])).repeat(count, 1, 1).requires_grad_()
    opt_V = torch.optim.Adam(V.parameters(), lr=1e-2, betas=(0.0, 0.99), fused=True)
    opt_G = torch.optim.Adam([A, b], betas=(0.0, 0.99), fused=True)
    for step in range(steps):
        opt_G.param_groups[0]["lr"] = lr_G * (1 - step / steps) + 1e-4
        z, x = torch.randn(batch, 2).expand(count, -1, -1), ring(batch).expand(count, -1, -1)
        play(rows, V, opt_V, [A, b], opt_G, x, torch.baddbmm(b, z, A))
    return dict(zip(names, torch.baddbmm(b, torch.randn(2000, 2).expand(count, -1, -1), A).detach()))


def ring(n: int) -> Tensor:
    """n points of the eight Gaussians, n×2."""
    return centres()[torch.randint(8, (n,))] + WIDTH * torch.randn(n, 2)


def centres() -> Tensor:
    angle = torch.arange(8) * (math.pi / 4)
    return RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def modes_covered(points: Tensor) -> tuple[int, float]:
    """How many of the eight have a tenth of their due within 3σ, and the share of points that lie so near to any."""
    distance, index = torch.cdist(points, centres()).min(1)
    share = index[distance < 3 * WIDTH].bincount(minlength=8) / len(points)
    return int((share >= 0.1 / 8).sum()), share.sum().item()


def draw(seed: int) -> Figure:
    """Above, the fits on the line, with μ and σ and their optima; below, the fits to the ring."""
    names = list(fgan.DIVERGENCES)
    fits, clouds = fit_by_the_game(names), fit_the_ring(names, seed)
    figure = Figure(figsize=(13, 9), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[4, 5])
    x = np.linspace(-4, 4, 300)
    for axes, name in zip(panels(above, "one Gaussian against two: μ, σ of the game (and of the true minimum)"), names):
        (mean, sigma), (best_mean, best_sigma) = fits[name], best_fit(name)
        axes.fill_between(x, mixture_pdf(x), color="0.85")
        axes.plot(x, stats.norm.pdf(x, best_mean, best_sigma), "k--", linewidth=1)
        axes.plot(x, stats.norm.pdf(x, mean, sigma), "C0")
        axes.set_title(f"{name}\n{mean:.2f}, {sigma:.2f} ({best_mean:.2f}, {best_sigma:.2f})", fontsize=8)
    data = ring(2000)
    for axes, name in zip(
        panels(below, "one Gaussian against a ring of eight: modes covered, points near a mode"), names
    ):
        count, share = modes_covered(clouds[name])
        axes.plot(*data.T, ",", color="0.7")
        axes.plot(*clouds[name][:500].T, ".", color="C0", markersize=1.5)
        axes.set_xlim(-4, 4)
        axes.set_ylim(-4, 4)
        axes.set_aspect("equal")
        axes.set_title(f"{name}\n{count} of 8, {share:.0%}", fontsize=8)
    return figure


def panels(figure, title: str):
    """Eleven axes without ticks, in two rows."""
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(2, 6).flat
    for one in axes:
        one.set_xticks([])
        one.set_yticks([])
    axes[11].axis("off")
    return axes


def main() -> None:
    options = read_flags(Options, "python -m benchmarks.modes", __doc__)
    print("| divergence | modes covered, of 8 | points near a mode |\n|---|---|---|")
    for name, points in fit_the_ring(list(fgan.DIVERGENCES), options.seed, options.lr_G).items():
        count, share = modes_covered(points)
        print(f"| {name} | {count} | {share:.0%} |")


if __name__ == "__main__":
    main()
