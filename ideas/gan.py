"""The game, seen: two densities on a line, a D that learns to tell them apart, and what its answer teaches G.

Lesson: dcgan.py. The data have the density p, a generator that stands still has q. Known without any training:

    the best D            D*(x) = p(x) / (p(x) + q(x))
    what it reaches       E_p log D* + E_q log(1 − D*) = 2·JSD(P‖Q) − log 4
    slopes of G's losses  over the logit d, with D = σ(d):  −D for log(1 − D), −(1 − D) for −log D
    the smallest game     min over x, max over y of x·y. If both step at once, by η times their gradients, each step
                          multiplies their distance from the solution (0, 0) by √(1 + η²). In turn they circle for ever

python -m ideas.gan        writes out/ideas/gan.png
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import common
from dcgan import discriminator_loss, generator_loss
from ideas import FAKE, GREEN, GREY, PURPLE, REAL, SKY, TRUTH, Options, command, new_figure, print_table, save, styled
from training.terminal import read_flags

# 1. Two densities. The data have two modes; G has found one of them, and draws it too wide
MODES, SIGMA = torch.tensor([-1.5, 1.2]), 0.45  # of the data
MEAN_G, SIGMA_G = 1.0, 0.9
X = torch.linspace(-5, 5, 2001)  # a grid, on which integrals are sums
p = torch.distributions.Normal(MODES, SIGMA).log_prob(X[:, None]).exp().mean(1)
q = torch.distributions.Normal(MEAN_G, SIGMA_G).log_prob(X).exp()
D_BEST = p / (p + q)


def integral(values: Tensor) -> float:
    return torch.trapezoid(values, X).item()


def best_objective() -> float:
    """2·JSD − log 4. JSD is the mean of KL(p‖m) and KL(q‖m), m being the mean of p and q."""
    m = (p + q) / 2
    return integral(torch.xlogy(p, p / m) + torch.xlogy(q, q / m)) - np.log(4)


# 2. D, trained as in dcgan.py: samples of both, the lesson's loss, Adam
def samples(n: int) -> tuple[Tensor, Tensor]:
    """n real and n generated numbers, n×1."""
    return MODES[torch.randint(2, (n, 1))] + SIGMA * torch.randn(n, 1), MEAN_G + SIGMA_G * torch.randn(n, 1)


def train_D(seed: int, steps: int = 1000) -> tuple[Tensor, dict[int, float]]:
    """D(x) on the grid; and D's objective, which is −loss, over the steps, on many samples."""
    torch.manual_seed(seed)
    D = nn.Sequential(nn.Linear(1, 64), nn.ELU(), nn.Linear(64, 64), nn.ELU(), nn.Linear(64, 1))
    opt_D = torch.optim.Adam(D.parameters(), 1e-2, betas=(0.0, 0.99))
    slower = torch.optim.lr_scheduler.LinearLR(opt_D, 1, 0.01, steps)  # G stands still, so D may come to rest
    many, objective = samples(20000), {}
    for step in range(steps + 1):
        if step % 20 == 0:
            with torch.no_grad():
                objective[step] = -discriminator_loss(*map(D, many)).item()
        loss_D = discriminator_loss(*map(D, samples(256)))
        opt_D.zero_grad()
        loss_D.backward()
        opt_D.step()
        slower.step()
    return D(X[:, None]).sigmoid().squeeze(1).detach(), objective


# 3. G's two losses, for one generated sample with the logit d
LOSSES = {
    "log(1 − D), saturating": lambda d: -discriminator_loss(torch.full_like(d, torch.inf), d),  # G's part of it
    "−log D, non-saturating": generator_loss,
}


def slope(loss, d: Tensor) -> Tensor:
    """∂loss/∂d at each of many d."""
    return torch.func.vmap(torch.func.grad(loss))(d)


# 4. The smallest game
ETA = 0.1


def play(beta: float, in_turn: bool, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The paths of (x, y) from (1, 1), and of its EMA. beta: Adam's β₁, they step along the mean of past gradients."""
    game, m_x, m_y = nn.ParameterList([torch.ones(()), torch.ones(())]).requires_grad_(False), 0.0, 0.0
    (x, y), ema, path, means = game, common.EMA(game, 0.99), [], []
    for step in range(1, steps + 1):
        path.append([x.item(), y.item()])
        means.append([value.item() for value in ema.network])
        m_y = beta * m_y + (1 - beta) * path[-1][0]
        y += ETA * m_y
        # At once: x answers the y that was. In turn, as in the lessons' loops: the y that now is
        m_x = beta * m_x + (1 - beta) * (y.item() if in_turn else path[-1][1])
        x -= ETA * m_x
        ema.update(step)
    return np.array(path), np.array(means)


@styled
def draw(D: Tensor, objective: dict[int, float]) -> Figure:
    figure = new_figure("The game: D finds p/(p + q), G needs a slope, the two go round in circles", height=8)
    (best, bound), (losses, circles) = figure.subplots(2, 2)
    best.fill_between(X, p, color=REAL, alpha=0.3, label="p: data")
    best.fill_between(X, q, color=FAKE, alpha=0.3, label="q: generated")
    best.plot(X, D, color=GREEN, label="D, trained")
    best.plot(X, D_BEST, "--", color=TRUTH, linewidth=1.8, label="p/(p + q)")
    best.set(title="D learns how probable “real” is", xlabel="x", ylabel="D(x); p, q", xlim=(-3, 4.5), ylim=(0, 1.02))
    bound.plot(objective.keys(), objective.values(), color=GREEN, label="D, trained")
    bound.axhline(best_objective(), color=TRUTH, linestyle="--", linewidth=1.8, label="2·JSD − log 4")
    bound.set(title="… and so tells how p and q differ", xlabel="updates of D", ylabel="objective", ylim=(-1.42, -0.9))
    d = torch.linspace(-6, 6, 121)
    for (name, loss), colour in zip(LOSSES.items(), (PURPLE, GREEN)):
        losses.plot(d, [loss(one) for one in d], color=colour, label=name)
        losses.plot(d, slope(loss, d), ":", color=colour, label=f"slope of {name.split(',')[0]}")
    losses.axvspan(-6, -3, color=GREY, alpha=0.25, linewidth=0)
    losses.text(-4.5, -3, "D is sure:\ngenerated", ha="center")
    losses.set(title="What G minimises: only one loss slopes at first", ylim=(-4, 8))
    losses.set(xlabel="D's logit d", ylabel="G's loss, and its slope")
    circles.plot(*play(0.5, in_turn=False, steps=80)[0].T, color=PURPLE, label="at once, momentum ½")
    circles.plot(*play(0, in_turn=False, steps=130)[0].T, color=GREY, label="at once")
    path, mean = play(0, in_turn=True, steps=1000)
    circles.plot(*path.T, color=GREEN, label="in turn")
    circles.plot(*mean[::10].T, color=SKY, linewidth=1.5, label="in turn, its EMA")
    circles.plot(1, 1, "o", color=TRUTH, markersize=8, label="start")
    circles.plot(0, 0, "+", color=TRUTH, markersize=12, markeredgewidth=2.5, label="solution")
    circles.set(title="min over x, max over y of x·y: the EMA comes near", xlabel="x", ylabel="y")
    circles.set(aspect="equal", anchor="W", xlim=(-3.3, 9.8), ylim=(-3.2, 4.5))
    for axes in (best, bound, losses, circles):
        axes.legend(loc="lower right" if axes is bound else "upper right")
    return figure


@command
def main() -> None:
    options = read_flags(Options, "python -m ideas.gan", __doc__)
    D, objective = train_D(options.seed)
    rows = [("mean distance of D from D*", 0.0, integral((D - D_BEST).abs() * (p + q) / 2))]
    rows += [("D's objective: 2·JSD − log 4", best_objective(), objective[max(objective)])]
    for (name, loss), truth in zip(LOSSES.items(), (-1 / (1 + np.exp(5)), -1 / (1 + np.exp(-5)))):
        rows.append((f"slope at d = −5 of {name}", truth, slope(loss, torch.tensor([-5.0])).item()))
    path, mean = play(0, in_turn=False, steps=101)[0], play(0, in_turn=True, steps=1001)[1]
    rows += [("x·y: distance after 100 steps at once", np.sqrt(2) * (1 + ETA**2) ** 50, np.linalg.norm(path[-1]))]
    rows += [("after 1000 in turn: the EMA", 0.0, np.linalg.norm(mean[-1]))]
    print_table(rows)
    save(draw(D, objective), options.out / "gan.png")


if __name__ == "__main__":
    main()
