"""BEGAN, seen: an autoencoder as judge, two histograms of its errors, and the controller that keeps them level.

Lesson: began.py. Its networks play on real digits for some seconds, by its losses and its controller. Known:

    the bound       W(L(x), L(G(z))) ≥ |m₁ − m₂|, m₁ and m₂ being the means. W of two sets of as many numbers is exact:
                    sort both, take the mean distance of partners
    the controller  k adds up the errors γ L(x) − L(G(z)). Here the players are a model, without images: L(G(z)) follows
                    k with slope b and a lag of τ steps. Then a step multiplies (k, L(G(z))), seen from where they end,
                    by one matrix. For a long lag k swings if λ_k b τ > ¼

python -m ideas.began        writes out/ideas/began.png
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

import common
from began import (
    Discriminator,
    Generator,
    Hyperparameters,
    balance_error,
    discriminator_loss,
    reconstruction_loss,
    update_k,
)
from ideas import FAKE, GREEN, PURPLE, REAL, TRUTH, Options, command, new_figure, print_table, save, styled
from training.pictures import to_float
from training.terminal import read_flags


# 1. A short game on digits: the loop of began.py
def train(seed: int, steps: int = 1000) -> tuple[Tensor, Tensor, Discriminator]:
    """2000 real images, 2000 generated ones, and the autoencoder D."""
    torch.manual_seed(seed)
    hp = Hyperparameters(channels=1, image_size=28)
    images, G, D, k = common.load_images().images, Generator(hp), Discriminator(hp), torch.tensor(hp.k_start)
    opt_G = torch.optim.Adam(G.parameters(), hp.lr_G, hp.betas, fused=True)
    opt_D = torch.optim.Adam(D.parameters(), hp.lr_D, hp.betas, fused=True)
    for _ in range(steps):
        x, fake = to_float(images[torch.randint(len(images), (64,))]), G(common.noise(64, hp.z_dim))
        L_real, L_fake = (reconstruction_loss(D, v, hp.eta) for v in (x, fake))
        opt_D.zero_grad()
        discriminator_loss(L_real, L_fake, k).backward(inputs=list(D.parameters()), retain_graph=True)
        opt_G.zero_grad()
        L_fake.backward(inputs=list(G.parameters()))
        opt_D.step()
        opt_G.step()
        k = update_k(k, balance_error(L_real.detach(), L_fake.detach(), hp.gamma), hp.lambda_k)
    x = to_float(images[torch.randint(len(images), (2000,))])
    return x, common.generate(G, common.noise_from_seed(seed, 2000, hp.z_dim)), D


# 2. The errors of single images, and how far apart two sets of them are
@torch.no_grad()
def errors(D: Discriminator, images: Tensor) -> Tensor:
    """L(v) of each image."""
    return torch.stack([reconstruction_loss(D, v[None], 2) for v in images])


def wasserstein(a: Tensor, b: Tensor) -> float:
    """W of two sets of as many numbers."""
    return (a.sort().values - b.sort().values).abs().mean().item()


# 3. The controller, with players that are two numbers: L(x) is 1, L(G(z)) follows START + SLOPE·k with a lag
GAMMA, START, SLOPE, LAG, DISTURBANCE, GAINS = 0.7, 0.5, 0.5, 50, -0.2, (0.005, 0.1)
K_BEFORE, K_AFTER = (GAMMA - START) / SLOPE, (GAMMA - START - DISTURBANCE) / SLOPE  # where the balance is γ


def play_model(lambda_k: float, steps: int) -> np.ndarray:
    """k after a disturbance at step 0: from then on L(G(z)) would be lower by 0.2 at the same k."""
    L_real, L_fake, k, path = torch.tensor(1.0), torch.tensor(GAMMA), torch.tensor(K_BEFORE), []
    for _ in range(steps):
        path.append(k.item())
        error = balance_error(L_real, L_fake, GAMMA)
        L_fake = L_fake + (START + SLOPE * k + DISTURBANCE - L_fake) / LAG
        k = update_k(k, error, lambda_k)
    return np.array(path)


def closed_form(lambda_k: float, steps: int) -> np.ndarray:
    """The same: (k, L(G(z))) minus its end is multiplied by one matrix in each step."""
    matrix = np.array([[1, -lambda_k], [SLOPE / LAG, 1 - 1 / LAG]])
    return K_AFTER + np.array([np.linalg.matrix_power(matrix, n)[0, 0] for n in range(steps)]) * (K_BEFORE - K_AFTER)


def overshoot(path: np.ndarray) -> float:
    """How far k swings beyond its end, as a share of its way."""
    return max(0, path.max() - K_AFTER) / (K_AFTER - K_BEFORE)


@styled
def draw(x: Tensor, fake: Tensor, D: Discriminator) -> Figure:
    figure = new_figure("BEGAN: an autoencoder judges by its errors, a controller keeps them level", height=8.4)
    images, histogram, controller = figure.subplot_mosaic([["images"] * 2, ["errors", "k"]]).values()
    with torch.no_grad():
        shown = torch.cat([v[:12] for v in (x, D(x[:12]), fake, D(fake[:12]))])
    images.imshow(common.grid((4 * shown).round() / 4, 12), interpolation="nearest")  # nine greys: few bytes
    images.set_yticks(np.arange(30, 240, 58), ["x", "D(x)", "G(z)", "D(G(z))"])
    images.set(title="D draws again what it is given: its verdict is the error", xticks=[])
    images.spines[:].set_visible(False)
    images.tick_params(length=0)
    a, b = errors(D, x), errors(D, fake)
    for values, colour, name in ((a, REAL, "L(x)"), (b, FAKE, "L(G(z))")):
        histogram.hist(values, 40, range=(0, 2.2 * a.mean().item()), color=colour, alpha=0.5, label=name)
        histogram.axvline(values.mean(), color=colour, linestyle="--")
    W, bound = wasserstein(a, b), (a.mean() - b.mean()).abs()
    words = {"transform": histogram.transAxes, "ha": "right", "va": "top"}
    histogram.text(0.98, 0.66, f"dashed: means\n|m₁ − m₂| = {bound:.3f}\nW = {W:.3f}", **words)
    histogram.set(title="The game levels the means, W sees the rest", xlabel="error of an image", ylabel="images")
    for gain, colour in zip(GAINS, (GREEN, PURPLE)):
        controller.plot(play_model(gain, 600), color=colour, label=f"λ_k = {gain}")
        controller.plot(closed_form(gain, 600), "--", color=TRUTH, linewidth=1.5)
    controller.plot([], [], "--", color=TRUTH, linewidth=1.5, label="closed form")
    controller.set(title="k answers a disturbance: a high gain swings", xlabel="steps", ylabel="k", ylim=(0.3, 1.02))
    histogram.legend(loc="upper right")
    controller.legend(loc="lower right")
    return figure


@command
def main() -> None:
    options = read_flags(Options, "python -m ideas.began", __doc__)
    x, fake, D = train(options.seed)
    a, b = errors(D, x), errors(D, fake)
    normal = torch.randn(2, 100_000)
    rows = [("W of N(0, 1) and N(½, 1)", 0.5, wasserstein(normal[0], normal[1] + 0.5))]
    rows += [("W of N(0, 1) and N(0, 4): E|z|", np.sqrt(2 / np.pi), wasserstein(normal[0], 2 * normal[1]))]
    rows += [("digits: W(L(x), L(G(z)))", f"≥ |m₁ − m₂| = {(a.mean() - b.mean()).abs():.3f}", wasserstein(a, b))]
    for gain in GAINS:
        true, found = (overshoot(path(gain, 2000)) for path in (closed_form, play_model))
        rows += [(f"k overshoots, λ_k = {gain}", f"{true:.1%}", f"{found:.1%}")]
    print_table(rows)
    save(draw(x, fake, D), options.out / "began.png")


if __name__ == "__main__":
    main()
