r"""BEGAN: an autoencoder as discriminator, and a controller that keeps the two players level.

Berthelot, Schumm, Metz 2017, *BEGAN: Boundary Equilibrium Generative Adversarial Networks*,
https://arxiv.org/abs/1703.10717

D is an autoencoder, as in EBGAN (arXiv 1609.03126): it squeezes an image through a narrow layer and
reconstructs ("draws") it. What it has learned to draw, it draws well. Its verdict: the reconstruction error

    L(v) = |v − D(v)|^η                                 η is 1 or 2; the mean over pixels

**The idea.** Other GANs compare images of G with real ones. BEGAN compares their *errors*, two distributions
of single numbers. Their Wasserstein distance is the least mean of |l₁ − l₂|, over all ways to pair an error
l₁ of a real image with an error l₂ of a generated one. It is at least the difference of the means (Jensen):

    W(L(x), L(G(z))) ≥ |m₁ − m₂|,   m₁ = E L(x),   m₂ = E L(G(z))

So a D that pushes the means apart raises a lower bound of W: with k = 1, minimising L_D below is maximising
m₂ − m₁. With a small m₁ D is an autoencoder of real images, a judge that knows them. G lowers m₂:

    D: minimise  L_D = L(x) − k·L(G(z))
    G: minimise  L_G = L(G(z))

**The controller.** If k is large, D may spend itself on drawing G's images badly; if k = 0, it never looks
at them. So k is steered towards a balance that is wanted:

    balance = E L(G(z)) / E L(x)                        its wanted value is γ, in (0, 1]
    k ← clip(k + λ_k (γ L(x) − L(G(z))), 0, 1)          k starts at 0 in the paper, at 0.6 here

If G's images are drawn too well, L(G(z)) < γ L(x), k rises and D attends more to them; if too badly, k falls.
(The paper calls this proportional control. As k adds up these gaps, it is integral control: inside (0, 1) it
rests only where the balance is γ.) γ is the paper's dial, 0.3 to 0.7 on faces. If γ is low, G makes
only what D draws best: its images look alike. If it is high, they are as hard to draw as real ones.

**What k says about diversity** (our argument, not the paper's). Suppose half of the real images are 1s and G
makes only 1s, at k = 0.6. In L_D the digit 1 then has the net weight ½ − 0.6·1 < 0: D unlearns the 1, its
error rises, and G moves on. In general, if D can unlearn one kind of image and keep the others,
that kind has the weight p − k·q (p: how often the data has it, q: how often G makes it). So in the long run
G stays near q ≤ p/k. At k = 0.3 three of ten digits are enough for G; near k = 1 it must make all.

**Convergence.** M = L(x) + |γ L(x) − L(G(z))|: how well D knows the data, and how far the players are from
balance. A G that makes the same blank image from all z may have a low M: look at the samples too.
**What to look for** in curves.png: `balance` near γ; k rises first, M with it, then both fall. k at 0: D does
not look at G's images. k at 1: the controller can do no more. See it: python -m ideas.began

Departures from the paper, which is about faces. With its constants MNIST ends with one image from all z.
                the paper                   here
    networks    convolutional               MLPs: G z→512→512→784 with BatchNorm, D 784→128→784: quick
    D's pixels  [−1, 1]                     scaled to [0, 1]: an output of zero is then the digits' black
    η, γ        1; 0.3 to 0.7               2; 1: a low γ picks the digits that are easy to draw
    k, λ_k      starts at 0; 0.001          starts at 0.6; 0.005: a run of minutes needs a faster controller
    Adam        1e-4, β default; batch 16   G 2e-3, D 3.5e-4 (G ahead: k stays high), β (0, 0.99); batch 64,
                                            one batch of noise for both updates; samples from G's EMA
The paper's own constants, on these networks (patience and steps are ours):
    python began.py --eta 1 --gamma 0.5 --k-start 0 --lambda-k 0.001 --lr-G 1e-4 --lr-D 1e-4 \
        --betas 0.9 0.999 --batch-size 16 --ema 0 --patience 3000 --steps 200000

Run it:     python began.py
Compare:    python -m benchmarks.diff began began_conv
Exercises:  docs/exercises.md
Measured (full MNIST, ten seeds): ten classes every time, FID 40 ± 6 by our own small classifier.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from PIL.Image import Image
from torch import Tensor, nn

import common


@dataclass(kw_only=True)
class Hyperparameters(common.Options):
    """Change a default here, or give it as a flag: python began.py --gamma 0.5."""

    # The game
    gamma: float = 1.0
    """γ, the balance E L(G(z)) / E L(x) that k steers to, in (0, 1]. Low: samples alike; high: diverse."""
    lambda_k: float = 0.005
    """λ_k, the gain of the controller: how fast k follows; 0: not at all. For an L that is a mean over pixels."""
    k_start: float = 0.6
    """k at the first step, in [0, 1]."""
    eta: Literal[1, 2] = 2
    """η, the power in L: 1 as in the paper, 2 for the squared error."""

    # The optimisation
    steps: int = 15_000
    """Updates of both players."""
    batch_size: int = 64
    """Images per update."""
    lr_G: float = 2e-3
    """Adam's learning rate for G."""
    lr_D: float = 3.5e-4
    """Adam's learning rate for D, which must not outrun G."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's β₁ (with momentum each player overshoots what the other has just changed) and β₂."""
    patience: int = 5000
    """Halve the learning rate unless the mean of M over this many steps is the lowest so far; 0: never."""
    ema: float = 0.998
    """Decay of the exponential moving average of G's weights, from which the samples come; 0: G itself."""
    seed: int = 0
    """Of the weights, the noise and the choice of images."""

    # The networks
    z_dim: int = 64
    """Length of the noise z, each number from U(−1, 1)."""
    G_hidden: int = 512
    """Units in each of G's two hidden layers."""
    D_hidden: int = 128
    """Units in D's hidden layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        common.require(0 < self.gamma <= 1, "--gamma", self.gamma, "in (0, 1]")
        common.require(0 <= self.lambda_k < math.inf, "--lambda-k", self.lambda_k, "0 or more")
        common.require(0 <= self.k_start <= 1, "--k-start", self.k_start, "in [0, 1]")
        common.require(self.patience >= 0, "--patience", self.patience, "0 or more")
        for name in ("G_hidden", "D_hidden"):
            common.require(getattr(self, name) >= 1, common.flag(name), getattr(self, name), "at least 1")


class Generator(nn.Module):
    """z (N×z_dim) to images (N×C×H×W in [−1, 1])."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        shape = (hp.channels, hp.image_size, hp.image_size)
        self.net = nn.Sequential(
            *(nn.Linear(hp.z_dim, hp.G_hidden, bias=False), nn.BatchNorm1d(hp.G_hidden), nn.ReLU()),
            *(nn.Linear(hp.G_hidden, hp.G_hidden, bias=False), nn.BatchNorm1d(hp.G_hidden), nn.ReLU()),
            *(nn.Linear(hp.G_hidden, math.prod(shape)), nn.Tanh(), nn.Unflatten(1, shape)),
        )

    @common.autocast  # bfloat16 inside, if --precision says so
    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class Discriminator(nn.Module):
    """An autoencoder: images (N×C×H×W in [−1, 1]) to images of the same shape."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        shape = (hp.channels, hp.image_size, hp.image_size)
        self.net = nn.Sequential(
            *(nn.Flatten(), nn.Linear(math.prod(shape), hp.D_hidden), nn.ReLU()),
            *(nn.Linear(hp.D_hidden, math.prod(shape)), nn.Unflatten(1, shape)),
        )

    @common.autocast
    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.net((x + 1) / 2).float() - 1  # inside, black is 0 and white 1


# The losses and the controller.


def reconstruction_loss(D: nn.Module, v: Tensor, eta: int) -> Tensor:
    """L(v) = |v − D(v)|^η, the mean over images and pixels (section 3.1); at least 0."""
    return (v - D(v)).abs().pow(eta).mean()


def discriminator_loss(L_real: Tensor, L_fake: Tensor, k: Tensor | float) -> Tensor:
    """L_D = L(x) − k·L(G(z))."""
    return L_real - k * L_fake


def balance_error(L_real: Tensor, L_fake: Tensor, gamma: float) -> Tensor:
    """γ L(x) − L(G(z)): above 0 where G's images are reconstructed too well."""
    return gamma * L_real - L_fake


def update_k(k: Tensor, error: Tensor, lambda_k: float) -> Tensor:
    """k + λ_k·error, clipped to [0, 1]."""
    return (k + lambda_k * error).clamp(0, 1)


def convergence(L_real: Tensor, error: Tensor) -> Tensor:
    """M = L(x) + |γ L(x) − L(G(z))| (section 3.4.1)."""
    return L_real + error.abs()


def reconstructions(D: nn.Module, x: Tensor, fake: Tensor) -> Image:
    """In rows: real images x, D(x), G(z), D(G(z)). What D draws well is what it has learned to know."""
    rows = [row for v in (x[:12], fake[:12]) for row in (v, D(v))]
    return common.grid(torch.cat(rows), columns=len(rows[0]))


def halve_lr_on_plateau(
    step: int, patience: int, M: Tensor, M_mean: Tensor, M_best: Tensor, *optimizers: torch.optim.Optimizer
) -> None:
    """Every `patience` steps: halve the learning rate unless the mean of M over them is the lowest so far.

    M_mean and M_best keep the mean that is being taken and the lowest one; both are changed in place.
    """
    M_mean += M / patience
    if step % patience == 0:
        if M_mean >= M_best:
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] /= 2
        M_best.copy_(torch.minimum(M_best, M_mean))
        M_mean.zero_()


def train(hp: Hyperparameters) -> common.Result:
    """The objective of section 3.4 of the paper, one update of all three: D, G and k."""
    run = common.Run(hp)
    hp = run.hp  # a copy that knows the size of the images
    G, D = Generator(hp).to(run.device), Discriminator(hp).to(run.device)
    ema = common.EMA(G, hp.ema)
    opt_G = torch.optim.Adam(G.parameters(), hp.lr_G, hp.betas, fused=True)
    opt_D = torch.optim.Adam(D.parameters(), hp.lr_D, hp.betas, fused=True)
    k = torch.tensor(hp.k_start, device=run.device)
    M_mean, M_best = torch.zeros((), device=run.device), torch.full((), math.inf, device=run.device)

    for step in run.steps(G=G, D=D, G_ema=ema.network, opt_G=opt_G, opt_D=opt_D, k=k, M_mean=M_mean, M_best=M_best):
        x, fake = run.real(), G(run.noise())
        L_real, L_fake = (reconstruction_loss(D, v, hp.eta) for v in (x, fake))

        # D: minimise  L(x) − k·L(G(z)); only D's weights get gradients (`inputs`)
        opt_D.zero_grad()
        discriminator_loss(L_real, L_fake, k).backward(inputs=list(D.parameters()), retain_graph=True)
        common.average_gradients(D)

        # G: minimise  L(G(z)), against the same old D
        opt_G.zero_grad()
        L_fake.backward(inputs=list(G.parameters()))
        common.average_gradients(G)

        opt_D.step()
        opt_G.step()
        ema.update(step)

        # The controller: k rises while G's images are reconstructed better than γ asks for
        with torch.no_grad():
            L_real, L_fake = common.mean_over_processes(torch.stack([L_real, L_fake]))
            error = balance_error(L_real, L_fake, hp.gamma)
            M = convergence(L_real, error)
            k.copy_(update_k(k, error, hp.lambda_k))
            if hp.patience:
                halve_lr_on_plateau(step, hp.patience, M, M_mean, M_best, opt_G, opt_D)

        run.log(M=M, k=k, L_real=L_real, L_fake=L_fake, balance=L_fake / L_real, balance_target=hp.gamma)
        run.picture("reconstructions", reconstructions, D, x, fake)
    return run.result()


if __name__ == "__main__":
    common.main(Hyperparameters, Generator, train)
