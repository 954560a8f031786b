"""f-GAN, seen: f as the supremum of its tangents, V that knows p/q, and what a G that is too simple fits.

Lesson: fgan.py, whose table of divergences plays here. Data P: on a line a mixture of two Gaussians, in the plane a
ring of eight. G(z) = A z + b makes one Gaussian Q, so it can't match them. Known without any game:

    the best V    g_f(V(x)) = f'(p(x)/q(x)); then the bound F is D_f(P‖Q). (total_variation wants ±∞, and gets lost)
    the best Q    its μ and σ make that integral smallest. kl punishes q ≈ 0 where p > 0, so Q covers all of p;
                  reverse_kl punishes q > 0 where p ≈ 0, so Q takes what it can match
G starts small, at one mode, and V is quicker than G. V has neither asinh nor penalty: the bound is the paper's.

python -m ideas.fgan        writes out/ideas/fgan.png
"""

from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

import fgan
from ideas import FAKE, GREEN, GREY, PURPLE, REAL, SKY, TRUTH, Options, command, new_figure, print_table, save, styled
from ideas.toys import MEANS, Networks, centres, modes_covered, normal, p, ring
from training.terminal import read_flags

# 1. The truth on the line: integrals, as sums over a grid
X = torch.linspace(-8, 8, 801, dtype=torch.float64)


def divergence(name: str, mean: Tensor | float, sigma: Tensor | float) -> Tensor:
    """D_f(P‖Q) = ∫ q f(p/q) for Q = N(μ, σ²); infinite where the numbers end."""
    q = normal(X, mean, sigma) + 1e-290
    return torch.trapezoid((q * fgan.DIVERGENCES[name].f(p(X) / q)).nan_to_num(1e9, 1e9), X)


def best_fit(name: str) -> tuple[float, float]:
    """The μ and σ with the smallest divergence: all pairs of a grid, then of a finer one around the best."""
    mean, sigma, steps = 0.0, 1.3, torch.linspace(-1, 1, 25, dtype=torch.float64)
    for reach in (1.2, 0.15, 0.02, 0.003):
        means, sigmas = mean + 2 * reach * steps, sigma + reach * steps.clamp(min=0.05 - sigma)
        values = divergence(name, means[:, None, None], sigmas[:, None])
        mean, sigma = means[values.argmin() // 25].item(), sigmas[values.argmin() % 25].item()
    return mean, sigma


def best_V(name: str, log_ratio: Tensor) -> Tensor:
    """The v with g_f(v) = f'(u), u = p/q: by halving an interval, as g_f increases."""
    row, (low, high) = fgan.DIVERGENCES[name], torch.tensor([[-30.0], [30.0]]).double().expand(2, len(log_ratio))
    t = torch.func.vmap(torch.func.grad(row.f))(log_ratio.double().exp())
    for _ in range(50):
        middle = (low + high) / 2
        low, high = torch.where(row.activation(middle) < t, torch.stack([middle, high]), torch.stack([low, middle]))
    return low


# 2. The games of several divergences, side by side
def play(rows: list, batch: Callable, start: Tensor, sigma: float, lr: float, momentum: float, steps: int) -> tuple:
    """Algorithm 1 of the lesson. Of each game: A and b (means of the last 200 steps), the bound F, and V."""
    V, path = Networks(len(rows), len(start), 32, 32, 1, last=0.1), []
    A, b = (first.repeat(len(rows), 1, 1).requires_grad_() for first in (sigma * torch.eye(len(start)), start))
    opt_V = torch.optim.Adam(V.parameters(), 1e-2, (momentum, 0.99), fused=True)
    opt_G = torch.optim.Adam([A, b], lr, (momentum, 0.99), fused=True)
    for step in range(steps):
        opt_V.param_groups[0]["lr"] = 1e-2 * min(1, 2.1 - 2 * step / steps)
        opt_G.param_groups[0]["lr"] = lr * (1 - step / steps) + 1e-4
        x, z = (points.expand(len(rows), -1, -1) for points in batch())
        v_real, v_fake = V(torch.cat([x, torch.baddbmm(b, z, A)], dim=1)).squeeze(2).chunk(2, dim=1)
        losses_V = torch.stack([fgan.critic_loss(row, *v) for row, *v in zip(rows, v_real, v_fake)])
        loss_G = sum(fgan.generator_loss(row, v) for row, v in zip(rows, v_fake))
        opt_V.zero_grad()
        losses_V.sum().backward(inputs=list(V.parameters()), retain_graph=True)
        opt_G.zero_grad()
        loss_G.backward(inputs=[A, b])
        opt_V.step()
        opt_G.step()
        path.append(torch.cat([A, b], dim=1).detach())
    A, b = torch.stack(path[-200:]).mean(0).split([len(start), 1], dim=1)
    return A, b, -losses_V.detach(), V


def fit_the_line(names: list[str], seed: int, steps: int = 1000) -> tuple[Tensor, Tensor, Tensor, Networks]:
    """μ, σ, F, V. Expectations are integrals here: means over a grid, with the densities as weights."""
    torch.manual_seed(seed)
    x = torch.linspace(-5, 5, 129)
    weight_x, weight_z = (density * 10 * 129 / 128 for density in (p(x), normal(x, 0, 1)))

    def weighted(row: fgan.Divergence) -> fgan.Divergence:
        real, generated = lambda v: weight_x * row.activation(v), lambda v: weight_z * row.composite(v)
        return fgan.Divergence(row.f, real, row.conjugate, generated)

    rows, grid = [weighted(fgan.DIVERGENCES[name]) for name in names], x[:, None]
    A, b, F, V = play(rows, lambda: (grid, grid), MEANS[:1], 0.7, 1e-2, 0.5, steps)
    return b.flatten(), A.abs().flatten(), F, V


def fit_the_ring(names: list[str], seed: int, steps: int = 1500) -> dict[str, Tensor]:
    """2000 points of each G, 2000×2. Each of the eight Gaussians has σ 0.3."""
    torch.manual_seed(seed)
    rows, start = [fgan.DIVERGENCES[name] for name in names], 0.75 * centres()[3]
    A, b, *_ = play(rows, lambda: (ring(128, 0.3), torch.randn(128, 2)), start, 0.3, 3e-3, 0.0, steps)
    return dict(zip(names, torch.baddbmm(b, torch.randn(2000, 2).expand(len(names), -1, -1), A)))


@styled
def draw(names: list[str], mean: Tensor, sigma: Tensor, V: Networks, clouds: dict[str, Tensor]) -> Figure:
    figure = new_figure("f-GAN: choose f, and you choose what G gives up when it can't have all", height=8.6)
    (tangents, ratio), (line, plane) = figure.subplots(2, 2)
    dashed, kl = {"color": TRUTH, "linewidth": 1.5}, fgan.DIVERGENCES["kl"]
    u, t = torch.linspace(0, 3, 200), torch.tensor([0.2, 1.0, 1.7])
    tangents.plot(u, kl.f(u), color=GREEN, label="f(u) = u log u, of kl")
    tangents.plot(u, u[:, None] * t - kl.conjugate(t), "--", **dashed, label=["tangents u·t − f*(t)", None, None])
    tangents.plot(0 * t, -kl.conjugate(t), "o", color=PURPLE, clip_on=False, label="−f*(t), where they start")
    tangents.set(title="A convex f is the highest of its tangents", xlabel="u = p/q", xlim=(0, 3), ylim=(-2.4, 3.6))
    r, x = torch.linspace(-2, 2, 81), torch.linspace(-3.5, 3.5, 71)
    v = V(x[:, None].expand(len(names), -1, -1)).squeeze(2).detach()
    shown = {"neyman_chi2": PURPLE, "kl": FAKE, "gan": GREEN, "squared_hellinger": SKY}
    for i, name in enumerate(names):
        ratio.plot(r, best_V(name, r), "--", color=TRUTH if name in shown else GREY, linewidth=1.2)
        if name in shown:
            ratio.plot((p(x) / normal(x, mean[i], sigma[i])).log(), v[i], ".", color=shown[name], label=name)
    ratio.set(title="The best V (dashed) is given by p/q", xlabel="log p/q", ylabel="V", xlim=(-2, 2), ylim=(-4, 4.5))
    x = torch.linspace(-4, 4, 400)
    line.fill_between(x, p(x), color=REAL, alpha=0.3, label="p: data")
    plane.plot(*ring(800, 0.3).T, ".", color=REAL, markersize=4, alpha=0.4, label="data")
    for (name, cloud), colour in zip(clouds.items(), (FAKE, PURPLE)):
        i, label = names.index(name), "{}:\n{} of 8 modes,\n{:.0%} near one".format(name, *modes_covered(cloud, 0.3))
        line.plot(x, normal(x, mean[i], sigma[i]), color=colour, label=f"q by {name}")
        line.plot(x, normal(x, *best_fit(name)), "--", **dashed, label="smallest D_f" if name == "reverse_kl" else None)
        plane.plot(*cloud[:400].T, ".", color=colour, markersize=4, label=label)
    line.set(title="On a line: cover all, or take one mode", xlabel="x", ylabel="density", xlim=(-4, 4), ylim=(0, 0.85))
    plane.set(title="On a ring: the same", xlabel="x₁", ylabel="x₂", xlim=(-4, 8.5), ylim=(-4, 4), aspect="equal")
    for axes, where in zip(figure.axes, ("upper left", "upper left", "upper right", "right")):
        axes.legend(loc=where, markerscale=2)
    return figure


@command
def main() -> None:
    options, names, rows = read_flags(Options, "python -m ideas.fgan", __doc__), list(fgan.DIVERGENCES), []
    (mean, sigma, F, V), clouds = fit_the_line(names, options.seed), fit_the_ring(["kl", "reverse_kl"], options.seed)
    for name, *found in zip(names, mean.tolist(), sigma.tolist(), F.tolist()):
        truth = (*best_fit(name), divergence(name, *best_fit(name)).item())
        rows.append((f"{name}: μ, σ, D_f", *("{:.2f}, {:.2f}, {:.2f}".format(*three) for three in (truth, found))))
    for (name, cloud), truth in zip(clouds.items(), ("covers all 8", "takes few")):
        rows.append((f"ring, {name}: modes, near one", truth, "{}, {:.0%}".format(*modes_covered(cloud, 0.3))))
    print_table(rows)
    save(draw(names, mean, sigma, V, clouds), options.out / "fgan.png")


if __name__ == "__main__":
    main()
