"""How far apart? Asked of a judge (dcgan.py's D), of a critic (wgan.py's), and of a critic with BatchNorm apart.

Lesson: wgan.py. Data and samples are two narrow masses on a line, N(−θ/2, 0.05²) and N(θ/2, 0.05²). Known:

    JSD       log 2 as soon as they do not overlap, however far apart they are
    W         θ: all the mass is moved by θ
    f         the best 1-Lipschitz f falls from data to samples with slope 1, so G's samples are moved towards the data
    K         a clipped critic says K·W at most. The lesson can't know K, here it is known: with a hidden layer of h
              units and weights of at most c, no f is steeper than K = h·c². With 100 units and c = 0.1 that is 1
    blind     BatchNorm in a batch of data and another of samples makes both masses the same: no f tells them apart

python -m ideas.wgan        writes out/ideas/wgan.png
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import dcgan
import wgan
from ideas import FAKE, GREEN, PURPLE, REAL, SKY, TRUTH, Options, command, new_figure, print_table, save, styled
from training.terminal import read_flags

SIGMA, THETAS = 0.05, (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 1.5)
H, C = 100, 0.1  # units of the hidden layer; where the critic's weights are clipped
K = H * C**2


# 1. The truth
def jensen_shannon(theta: float) -> float:
    """By integration: the mean of KL(p‖m) and KL(q‖m), m being the mean of p and q."""
    x = torch.linspace(-theta / 2 - 0.5, theta / 2 + 0.5, 20001, dtype=torch.float64)
    p, q = (torch.distributions.Normal(mean, SIGMA).log_prob(x).exp() for mean in (-theta / 2, theta / 2))
    m = (p + q) / 2
    return torch.trapezoid(torch.xlogy(p, p / m) + torch.xlogy(q, q / m), x).item() / 2


# 2. Three that are asked: the same small network, trained by the lessons' losses
def samples(theta: float, n: int) -> tuple[Tensor, Tensor]:
    return -theta / 2 + SIGMA * torch.randn(n, 1), theta / 2 + SIGMA * torch.randn(n, 1)


def network(norm: type[nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(1, H), norm(H), nn.LeakyReLU(0.2), nn.Linear(H, 1))


def train(kind: str, theta: float, seed: int, steps: int = 200) -> nn.Module:
    """A judge, a critic, or a critic that is blind by BatchNorm."""
    torch.manual_seed(seed)
    D = network(nn.BatchNorm1d if kind == "blind" else nn.Identity)
    judge = kind == "judge"
    opt_D = torch.optim.Adam(D.parameters(), 1e-2) if judge else torch.optim.RMSprop(D.parameters(), 5e-3)
    for _ in range(steps):
        x, fake = samples(theta, 128)
        loss_D = (dcgan.discriminator_loss if judge else wgan.critic_loss)(D(x), D(fake))
        opt_D.zero_grad()
        loss_D.backward()
        opt_D.step()
        if not judge:
            wgan.clip_weights(D, C)
    return D


@torch.no_grad()
def estimate(kind: str, D: nn.Module, theta: float) -> float:
    """What D's loss says: of the JSD if it is a judge, else of K·W."""
    d_real, d_fake = (D(x) for x in samples(theta, 4096))
    if kind == "judge":
        return (np.log(4) - dcgan.discriminator_loss(d_real, d_fake).item()) / 2
    return -wgan.critic_loss(d_real, d_fake).item()


# 3. What moves a generated sample at x: the slope of G's loss
LOSSES_OF_G = {
    "judge": lambda d: -dcgan.discriminator_loss(torch.tensor(torch.inf), d),  # minimax: log(1 − D), G's part of D's
    "judge, −log D": dcgan.generator_loss,
    "critic": wgan.generator_loss,
}


def slope(loss_of: str, D: nn.Module, x: float) -> float:
    here = torch.tensor([[x]], requires_grad=True)
    return torch.autograd.grad(LOSSES_OF_G[loss_of](D(here)), here)[0].item()


COLOURS = {"judge": PURPLE, "critic": GREEN, "blind": SKY}


@styled
def draw(networks: dict[str, dict[float, nn.Module]], estimates: dict[str, dict[float, float]]) -> Figure:
    figure = new_figure("Where nothing overlaps, a judge says “different”, a critic says how far", height=4.6)
    functions, distances = figure.subplots(1, 2)
    theta, x = THETAS[-1], torch.linspace(-1.6, 1.6, 641)[:, None]
    for mean, colour, label in ((-theta / 2, REAL, "   data"), (theta / 2, FAKE, "samples   ")):
        mass = torch.exp(-0.5 * ((x[:, 0] - mean) / SIGMA) ** 2)
        functions.fill_between(x[:, 0], -1, -1 + 0.4 * mass, color=colour, alpha=0.5, linewidth=0)
        functions.text(mean, -0.9, label, color=colour, ha="left" if mean < 0 else "right")
    for kind, label in (("judge", "judge: D(x)"), ("critic", "critic: f(x) − f(0)")):
        D = networks[kind][theta]
        with torch.no_grad():
            values = D(x).sigmoid() if kind == "judge" else D(x) - D(torch.zeros(1, 1))
        functions.plot(x, values, color=COLOURS[kind], label=label)
        steep, at_q = slope(kind, D, theta / 2), values[(x - theta / 2).abs().argmin()].item()
        functions.plot(theta / 2, at_q, "o", color=FAKE)
        functions.annotate(f"slope for G: {steep:.2f}", (theta / 2 - 0.1, at_q + 0.08), color=FAKE)
        if steep > 0.05:  # G descends on its loss: to the left
            arrow = {"arrowstyle": "-|>", "lw": 2.5, "color": FAKE}
            functions.annotate("", (theta / 2 - steep, at_q), (theta / 2, at_q), arrowprops=arrow)
    functions.set(title="What they say of x, and the slope that G gets", xlabel="x", ylabel="D(x), f(x) − f(0)")
    functions.set(ylim=(-1, 1.15), yticks=(-1, 0, 1))
    functions.legend(loc="upper right")

    fine = np.linspace(0, THETAS[-1], 301)
    distances.plot(fine, fine, "--", color=TRUTH, linewidth=1.8, label="W = θ")
    distances.plot(fine, [jensen_shannon(one) for one in fine], ":", color=TRUTH, linewidth=2.2, label="JSD")
    labels = {"judge": "judge: (log 4 − loss)/2", "critic": f"critic: −loss, at most K·W, K ≤ {K:.3g}"}
    labels |= {"blind": "critic, BatchNorm apart: −loss"}
    for kind, label in labels.items():
        distances.plot(*zip(*estimates[kind].items()), "o-", color=COLOURS[kind], label=label)
    distances.set(title="What their losses say of the distance", xlabel="distance θ of data and samples")
    distances.set(ylabel="estimate", ylim=(-0.05, 1.75))
    distances.legend(loc="upper left")
    return figure


@command
def main() -> None:
    options = read_flags(Options, "python -m ideas.wgan", __doc__)
    networks = {kind: {theta: train(kind, theta, options.seed) for theta in THETAS} for kind in COLOURS}
    estimates = {kind: {theta: estimate(kind, D, theta) for theta, D in of.items()} for kind, of in networks.items()}
    rows = []
    for theta in (0.1, 0.5, 1.5):
        rows.append((f"θ = {theta}: the judge, JSD", jensen_shannon(theta), estimates["judge"][theta]))
        rows.append((f"θ = {theta}: the critic, K·W", f"at most {K * theta:.3g}", estimates["critic"][theta]))
        rows.append((f"θ = {theta}: the critic with BatchNorm apart", 0.0, estimates["blind"][theta]))
    rows.append(("the critic at 1.5 by that at 0.5", 3.0, estimates["critic"][1.5] / estimates["critic"][0.5]))
    for loss, truth in (("judge", 0.0), ("judge, −log D", "no limit"), ("critic", f"at most {K:.3g}")):
        rows.append(
            (f"θ = 1.5: slope for G by the {loss}", truth, slope(loss, networks[loss.split(",")[0]][1.5], 0.75))
        )
    print_table(rows)
    save(draw(networks, estimates), options.out / "wgan.png")


if __name__ == "__main__":
    main()
