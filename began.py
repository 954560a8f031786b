r"""BEGAN: an autoencoder as discriminator, and a controller that keeps the two players level.

Berthelot, Schumm, Metz 2017, *BEGAN: Boundary Equilibrium Generative Adversarial Networks*,
https://arxiv.org/abs/1703.10717

D is an autoencoder, as in EBGAN (Zhao et al. 2016, arXiv 1609.03126): it squeezes an image through a narrow
layer and draws it again. What it has learned to draw, it draws well; its verdict is the reconstruction error

    L(v) = |v − D(v)|^η                                     η is 1 or 2; the mean over pixels

Other GANs match the distribution of the samples with that of the data. BEGAN matches the distributions of
their *errors*, two distributions of single numbers, of means m₁ = E L(x) and m₂ = E L(G(z)). Their Wasserstein
distance is the least mean of |l₁ − l₂|, over all ways π to pair errors l₁ of real images with errors l₂ of generated
ones (wgan.py has its other form). By Jensen's inequality

    W(L(x), L(G(z))) = inf_π E|l₁ − l₂| ≥ inf_π |E(l₁ − l₂)| = |m₁ − m₂|

so a D that pushes the means apart maximises a lower bound on their Wasserstein distance. It can do that in
two ways: m₁ → ∞ with m₂ → 0, or m₁ → 0 with m₂ → ∞. The second is taken, because a small m₁ is what makes D
an autoencoder of real images, and thereby a judge that knows them. G works against it and lowers m₂:

    D: minimise  L_D = L(x) − k·L(G(z))
    G: minimise  L_G = L(G(z))

D easily wins, as telling apart is easier than drawing, or G wins with images that are trivial to reconstruct.
So D must not push L(G(z)) up too hard. How hard is set by k, and k follows from the balance:

    γ = E L(G(z)) / E L(x)                                  the balance wanted, in (0, 1]
    k ← clip(k + λ_k (γ L(x) − L(G(z))), 0, 1)              k starts at 0 (here at 0.6, see below)

If G's images are reconstructed too well (L(G(z)) < γ L(x)), k rises and D attends more to raising their errors; if
too badly, k falls and D goes back to learning real images. (The paper calls this proportional control. As k adds up the
errors, it is integral control: inside (0, 1) k comes to rest only where the balance is γ.)
γ is the dial of the paper. With a low γ D mostly learns to draw real images, and G makes only the few that D draws
best: on faces the samples are good and much alike. With a high one G's images must be as hard to draw as real ones, on
average, so not only the easiest: diverse samples. On digits a low γ makes them alike too, but blurred (docs/gamma.md).

    M = L(x) + |γ L(x) − L(G(z))|

M measures convergence: its first term says how well D knows the data, its second how far the players are from
their balance. Both must be small at once. M alone does not show *mode collapse*, one image for every z: for a blank
it is (1 + γ) L(x), and L(x) is small where D does nothing but draw. So look at `balance` and at the samples too.
Nor does it compare settings: with a quicker D M ended lower and FID was worse (docs/results.md).

k also limits how many classes G can drop (not how alike it makes the images of a class). L_D counts an image v with
the weight p(v) − k·q(v), p being the density of the data and q that of G. Where this is below 0, D unlearns v, its
error rises there, and G moves on; so G can hardly make anything more than 1/k times as often as it occurs in the data:
q ≤ p/k. (This is our argument, not the paper's. It would be exact if D could raise its error at one image and at no
other.) At k = 0.3 three of ten digits are enough for G, near k = 1 it must make them all. k ends high if D learns
slowly, G is strong and γ is near 1: only then does D need a high k to keep the balance.

What to look for in curves.png: `balance` near γ (its target). k rises to 0.97 in the first 2000 steps. M falls for
some 500 steps, then rises to 0.4: D attends to G's images almost as much as to real ones, and draws worse than the
mean image would. Then D catches up, and k and M fall until the end. A k at 0 means that D does not look at G's
images: it is an autoencoder and no more, and G makes the one image that it draws best. A k that stays at 1 means that
the controller can do no more, and D hardly draws. (The samples may be good all the same: so it is with
Fashion-MNIST.)

Departures from the paper, which is about faces (32 to 256 px). On MNIST its constants end with one image for every
z: a blank and k at 0 with its own networks (as in began_conv.py, with β₁ 0.5), one dim stroke with these. Digits are
easy to reconstruct, and such images easier still.
                the paper                   here
    networks    convolutional               G: z→512→512→784 with BatchNorm; D: 784→128→784 with ReLU: quicker, and
                                            a shallow D wins less easily
    D's pixels  [−1, 1]                     scaled to [0, 1]: 0, the easiest to draw, is then the digits' black. With
                                            [−1, 1] it is a grey that no digit has, and that G can imitate
    η           1                           2
    γ           0.5                         1: digits differ in difficulty; a lower γ picks the easy ones
    k           starts at 0                 at 0.6: from 0 G first falls onto what D draws best
    λ_k         0.001                       0.005: a run of minutes needs a faster controller
    Adam        1e-4 for both, β default    G 2e-3, D 3.5e-4: a slow D needs a high k (docs/LOG.md); β₁ 0:
                                            momentum makes the players overshoot each other; β₂ 0.99: with 0.999 (and
                                            lr_D 5e-4) L(G(z)) explodes in some runs; the rates are halved when M
                                            stalls, as in the paper (with these defaults it never does on MNIST)
    batch       16                          64
    one batch of noise serves both updates (the paper draws z_D and z_G); samples come from the EMA of G
The paper's own constants, on these networks (patience and steps are ours):
    python began.py --eta 1 --gamma 0.5 --k-start 0 --lambda-k 0.001 --lr-G 1e-4 --lr-D 1e-4 --betas 0.9 0.999 \
        --batch-size 16 --ema 0 --patience 3000 --steps 200000

Run it:     python began.py
            python began.py --gamma 0.5
Compare:    python -m benchmarks.diff began began_conv
Exercises:  docs/exercises.md
Measured (full MNIST, 10 seeds): ten classes every time, FID 38.0 ± 5.3; some three minutes on one core.
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

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).float()


class Discriminator(nn.Module):
    """An autoencoder: images (N×C×H×W in [−1, 1]) to images of the same shape."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        shape = (hp.channels, hp.image_size, hp.image_size)
        self.net = nn.Sequential(
            *(nn.Flatten(), nn.Linear(math.prod(shape), hp.D_hidden), nn.ReLU()),
            *(nn.Linear(hp.D_hidden, math.prod(shape)), nn.Unflatten(1, shape)),
        )

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
