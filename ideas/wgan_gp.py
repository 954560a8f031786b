"""A critic kept Lipschitz by clipping, and by a penalty on its gradient: level lines, slopes and weights in the plane.

Lesson: wgan_gp.py. The data lie on a circle of radius 2, one half of the samples on one of radius 1, the other half on
one of radius 3. All of them have to move by 1, straight outwards or inwards. So it is known that

    W = 1
    f*(x) = −|‖x‖ − 2|          a ridge on the data, which falls with slope 1 to both sides
    ‖∇f*‖ = 1                   wherever a sample has to pass

python -m ideas.wgan_gp        writes out/ideas/wgan_gp.png
"""

import math

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor, nn

import wgan_gp
from ideas import FAKE, GREEN, PURPLE, REAL, TRUTH, Options, command, new_figure, print_table, save, styled
from training.terminal import read_flags
from wgan import clip_weights

C, LAMBDA = 0.05, 10.0


# 1. To differentiate a gradient: create_graph keeps how it was computed
def differentiate_twice() -> tuple[float, float]:
    x = torch.tensor(2.0, requires_grad=True)
    slope = torch.autograd.grad(x**3, x, create_graph=True)[0]  # 3x² = 12, and still a function of x
    again = torch.autograd.grad((slope - 1) ** 2, x)[0]  # 2·(3x² − 1)·6x = 264
    return slope.item(), again.item()


# 2. Data and samples
def on_circle(radius: Tensor) -> Tensor:
    """Random points of circles, N×2, from N×1 radii."""
    angle = 2 * math.pi * torch.rand_like(radius)
    return radius * torch.cat([angle.cos(), angle.sin()], dim=1)


def real(n: int) -> Tensor:
    return on_circle(torch.full((n, 1), 2.0))


def generated(n: int) -> Tensor:
    return on_circle(1 + 2 * torch.randint(2, (n, 1)).float())


# 3. The same critic, kept Lipschitz in two ways, each with its lesson's loss and optimizer
def train(c: float | None, seed: int, steps: int = 600, width: int = 128) -> nn.Module:
    """Clipped to [−c, c]; or with the penalty, if c is None."""
    torch.manual_seed(seed)
    hidden = [layer for _ in range(2) for layer in (nn.Linear(width, width), nn.LeakyReLU(0.2))]
    D = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), *hidden, nn.Linear(width, 1))
    penalised = torch.optim.Adam(D.parameters(), 5e-3, betas=(0.0, 0.9))
    opt_D = penalised if c is None else torch.optim.RMSprop(D.parameters(), 1e-3)
    slower = torch.optim.lr_scheduler.LinearLR(opt_D, 1, 0.05, steps)  # G stands still, so D may come to rest
    for _ in range(steps):
        x, fake = real(128), generated(128)
        loss_D = wgan_gp.critic_loss(D(x), D(fake))
        if c is None:
            loss_D = loss_D + LAMBDA * wgan_gp.gradient_penalty(D, x, fake, torch.rand(128, 1))[0]
        opt_D.zero_grad()
        loss_D.backward()
        opt_D.step()
        slower.step()
        if c is not None:
            clip_weights(D, c)
    return D


# 4. What became of them
def estimate(D: nn.Module) -> float:
    with torch.no_grad():
        return -wgan_gp.critic_loss(D(real(4096)), D(generated(4096))).item()


def slopes(D: nn.Module, x: Tensor) -> Tensor:
    """‖∇D‖ at each point."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(D(x).sum(), x)[0].norm(dim=1)


def weights(D: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in D.parameters()])


@styled
def draw(networks: dict[str, nn.Module]) -> Figure:
    figure = new_figure("Clipping wastes the critic, the penalty holds its slope near 1", height=9)
    (*planes,), (ray, histogram) = figure.subplots(2, 2)
    side, radius, angle = torch.linspace(-3.4, 3.4, 121), torch.linspace(0, 3.4, 121), torch.linspace(0, 6.3, 200)
    plane = torch.stack(torch.meshgrid(side, side, indexing="xy"), dim=-1)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    colours, bins = colormaps["PuOr_r"].resampled(11), np.linspace(-0.25, 0.25, 82)
    for axes, (name, D), colour in zip(planes, networks.items(), (PURPLE, GREEN)):
        norm = slopes(D, plane.flatten(0, 1)).reshape(121, 121)
        picture = axes.imshow(norm.numpy(), colours, extent=(-3.4, 3.4) * 2, origin="lower", vmin=-0.1, vmax=2.1)
        with torch.no_grad():
            values, mean = D(plane)[..., 0], D(radius[:, None, None] * circle).mean(1)[:, 0]
        axes.contour(side, side, values, 12, colors="0.25", linewidths=0.8, linestyles="solid")
        for r, edge, label in ((2, REAL, "data"), (1, FAKE, "samples"), (3, FAKE, None)):
            axes.plot(*(r * circle.T), color=edge, linewidth=3, label=None if D is networks["penalty"] else label)
        axes.set(title=f"{name}: level lines of D", xlabel="x₁", ylabel="x₂", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
        ray.plot(radius, mean - mean[(radius - 2).abs().argmin()], color=colour, label=name)
        found = weights(D).numpy()
        histogram.hist(found, bins, weights=0 * found + 100 / len(found), color=colour, alpha=0.7, label=name)
    x, fake = real(5), generated(5)
    planes[1].plot(*torch.stack([x, fake]).permute(2, 0, 1), color="black", linewidth=1.2)
    planes[1].plot(*torch.lerp(fake, x, torch.rand(5, 1)).T, "o", color="black", label="x̂, between random pairs")
    figure.colorbar(picture, ax=planes, label="slope ‖∇D‖", ticks=np.arange(0.1, 2, 0.2))
    for axes in planes:
        axes.legend(loc="lower left", framealpha=0.9, frameon=True)
    ray.plot([1, 2, 3], [-1, 0, -1], "--", color=TRUTH, linewidth=1.8, label="f* = −|‖x‖ − 2|")
    ray.set(title="D along the radius, mean of all directions", xlabel="‖x‖", ylabel="D, less D at the data")
    histogram.set(title="D's weights", xlabel="weight", ylabel="% of all")
    ray.legend()
    histogram.legend()
    return figure


@command
def main() -> None:
    options = read_flags(Options, "python -m ideas.wgan_gp", __doc__)
    networks = {"clipping": train(C, options.seed), "penalty": train(None, options.seed)}
    rows = [("slope of x³ at 2; (slope − 1)² differentiated by x", (12.0, 264.0), differentiate_twice())]
    D = nn.Linear(2, 1)
    D.weight.data = torch.tensor([[3.0, 4.0]])
    penalty, _ = wgan_gp.gradient_penalty(D, real(8), generated(8), torch.rand(8, 1))
    rows.append(("the penalty of D(x) = 3x₁ + 4x₂: (5 − 1)²", 16.0, penalty.item()))
    for (name, D), W, norm in zip(networks.items(), ("K·1", 1.0), ("at most K", 1.0)):
        x_hat = torch.lerp(generated(4096), real(4096), torch.rand(4096, 1))
        rows.append((f"{name}: E D(x) − E D(G(z))", W, estimate(D)))
        steep = slopes(D, x_hat)
        rows.append((f"{name}: mean slope at x̂", norm, steep.mean().item()))
        rows.append(
            (f"{name}: x̂ with a slope of 0.9 to 1.3", "–", f"{((steep > 0.9) & (steep < 1.3)).float().mean():.0%}")
        )
    rows.append((f"clipping at {2 * C}: E D(x) − E D(G(z))", "another K·1", estimate(train(2 * C, options.seed))))
    at_c = (weights(networks["clipping"]).abs() > 0.99 * C).float().mean().item()
    rows.append(("clipping: weights at ±c", "most (paper)", f"{at_c:.0%}"))
    print_table(rows)
    save(draw(networks), options.out / "wgan_gp.png")


if __name__ == "__main__":
    main()
