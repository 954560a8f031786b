"""BEGAN: an autoencoder as discriminator, and a controller that keeps the two players level.

Berthelot, Schumm, Metz 2017, *BEGAN: Boundary Equilibrium Generative Adversarial Networks*,
https://arxiv.org/abs/1703.10717

D is an autoencoder, as in EBGAN (Zhao et al. 2016, arXiv 1609.03126): it squeezes an image through a narrow
layer and draws it again. What it has learned to draw, it draws well; its verdict is the reconstruction error

    L(v) = |v − D(v)|^η                                     η is 1 or 2; the mean over pixels

Other GANs match the distribution of the samples with that of the data. BEGAN matches the distributions of
their *errors*, two distributions of single numbers, of means m₁ = E L(x) and m₂ = E L(G(z)). By Jensen's
inequality, whichever way π one pairs them up,

    W(L(x), L(G(z))) = inf_π E|l₁ − l₂| ≥ inf_π |E(l₁ − l₂)| = |m₁ − m₂|

so a D that pushes the means apart maximises a lower bound on their Wasserstein distance. It can do that in
two ways: m₁ → ∞ with m₂ → 0, or m₁ → 0 with m₂ → ∞. The second is taken, because a small m₁ is what makes D
an autoencoder of real images, and thereby a judge that knows them. G works against it and lowers m₂:

    D: minimise  L_D = L(x) − k·L(G(z))
    G: minimise  L_G = L(G(z))

D easily wins, as telling apart is easier than drawing, or G wins with images that are trivial to reconstruct.
So D must not do too much of the second half of its work. How much is set by k, and k by what comes of it:

    γ = E L(G(z)) / E L(x)                                  the balance wanted, in (0, 1]
    k ← clip(k + λ_k (γ L(x) − L(G(z))), 0, 1)              k starts at 0

The paper calls this proportional control; a thermostat does the same. If G's images are reconstructed too well
(L(G(z)) < γ L(x)), k rises and D attends more to pushing them up; if too badly, k falls and D goes back to
learning real images.
γ is the dial of the paper: with a low γ D spends itself on real images and G on the few that D draws best:
sharp and uniform samples. With a high one G's errors must be spread as the real ones are: diverse samples.

    M = L(x) + |γ L(x) − L(G(z))|

M measures convergence: its first term says how well D knows the data, its second how far the players are from
their balance. Both must be small at once; a blank G or a D that has given up makes one of them large.

k also says how diverse the samples are. L_D counts an image v with the weight p(v) − k·q(v), p being the density
of the data and q that of G. Where this is below 0, D unlearns v, its error rises there, and G moves on; so G can
make nothing much more often than 1/k times as often as it occurs in the data. At k = 0.3 three of ten digits are
enough for G, near k = 1 it must make them all. And k is high where D can hold the balance no other way: where
D learns slowly, G is strong, and γ is near 1.

What to look for in curves.png: `balance` near γ (its target), k well inside (0, 1), M falling after the first
hundreds of steps. A k at 0 means that D does not look at G's images: it is an autoencoder and no more, and G
makes the one image that it draws best.

Departures from the paper, which is about faces of 64 px and more. On MNIST its constants end just so, with k at
0 and one blank image: digits are easy to reconstruct, a blank easier still.
    networks    convolutional, n = 64 or    G: z→512→512→784 with BatchNorm; D: 784→128→784 with ReLU: quicker, and
                128 in both, h = 64         a shallow D wins less easily. --network conv: n = 48 in G and 8 in D for
                                            the same reason; outputs bounded by a tanh and a sigmoid; D an
                                            autoencoder before the game begins
    D's range   [−1, 1]                     [0, 1] inside, so that what D draws without effort is the digits'
                                            black, not a grey that no digit has and that G can hide in
    η           1                           2
    γ           0.5                         0.95: digits differ in difficulty; a low γ picks the easy ones
    k           starts at 0                 at 0.6 (conv: 0.8): from 0 G first falls onto what D draws best
    λ_k         0.001                       0.005: a run of a minute needs a faster thermostat
    Adam        1e-4 for both, β₁ 0.5       G 2e-3, D 5e-4 (conv: 1e-3, 1e-4), for a high k; β₁ 0: momentum makes
                                            the players overshoot each other
    batch       16                          64
    one batch of noise serves both updates (the paper draws z_D and z_G); samples come from the average of G
The paper's own constants:
    python began.py --network conv --n 64 --G-n 64 --eta 1 --gamma 0.5 --k-start 0 --lambda-k 0.001 --lr 1e-4 \\
        --D-lr 1e-4 --betas 0.5 0.999 --batch-size 16 --average 0 --head-start 0 --patience 3000 --steps 200000
and for faces add: --data path/to/img_align_celeba --n 128 --G-n 128

Run it:     python began.py
            python began.py --gamma 0.5
            python began.py --network conv --steps 1000
Measured (2 cores, full MNIST, 10 seeds): ten classes every time, FID 74.1 ± 3.7; about 60 s. Its
convolutional pair (5 seeds, 1000 steps): ten classes, FID 120 ± 10; some 3 minutes.
"""

import copy
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

import common


@dataclass(kw_only=True)
class Hyperparameters(common.Options):
    """Change a default here, or give it as a flag: python began.py --gamma 0.5."""

    # The game
    gamma: float = 0.95
    """γ, the balance E L(G(z)) / E L(x) that k steers to, in (0, 1]: low is sharp and uniform, high is diverse."""
    lambda_k: float = 0.005
    """λ_k, the gain of the controller: how fast k follows. Fit for an L that is a mean over pixels in [−1, 1]."""
    k_start: float | None = None
    """k at the first step, in [0, 1] (paper: 0). None: 0.6 for mlp, 0.8 for conv."""
    eta: Literal[1, 2] = 2
    """η, the power in L: 1 as in the paper, 2 for the squared error."""

    # The optimisation
    steps: int = 8000
    """Updates of both players."""
    batch_size: int = 64
    """Images per update."""
    lr: float | None = None
    """Adam's learning rate for G. None: 2e-3 for mlp, 1e-3 for conv."""
    D_lr: float | None = None
    """Adam's learning rate for D, which must not outrun G. None: 5e-4 for mlp, 1e-4 for conv."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's β₁ (with momentum each player overshoots what the other has just changed) and β₂."""
    patience: int = 0
    """Halve the learning rate whenever the mean of M over this many steps has not fallen; 0: never."""
    average: float = 0.99
    """Decay of the running average of G's weights, from which the samples come; 0: G itself."""
    seed: int = 0
    """Of the weights, the noise and the choice of images."""

    # The networks
    network: Literal["mlp", "conv"] = "mlp"
    """mlp: for digits. conv: the paper's (at the end of this file), for larger and coloured images."""
    z_dim: int = 64
    """Length of the noise z, each number from U(−1, 1)."""
    G_hidden: int = 512
    """mlp: units in each of G's two hidden layers."""
    D_hidden: int = 128
    """mlp: units in D's hidden layer."""
    n: int = 8
    """conv: filters of D, n of the paper (64 or 128 there)."""
    G_n: int = 48
    """conv: filters of G (n as well in the paper)."""
    h: int = 64
    """conv: length of the code between D's encoder and decoder."""
    head_start: int = 200
    """conv: steps in which D learns to be an autoencoder before the game, and in which k waits for G after that."""
    skip: bool = False
    """conv: give every upsampled block of a decoder its first map h₀ again (paper, section 3.5.1)."""

    def __post_init__(self) -> None:
        mlp, conv = {"k_start": 0.6, "lr": 2e-3, "D_lr": 5e-4}, {"k_start": 0.8, "lr": 1e-3, "D_lr": 1e-4}
        for name, value in (mlp if self.network == "mlp" else conv).items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        super().__post_init__()
        common.require(0 < self.gamma <= 1, "--gamma", self.gamma, "in (0, 1]")
        common.require(0 < self.lambda_k < math.inf, "--lambda-k", self.lambda_k, "above 0")
        common.require(self.patience >= 0, "--patience", self.patience, "0 or more")
        common.require(self.head_start >= 0, "--head-start", self.head_start, "0 or more")
        if self.cuda_graph:  # a recorded step is the same every time
            common.require(self.patience == 0, "--patience", self.patience, "0 with --cuda-graph")
            if self.network == "conv":
                common.require(self.head_start == 0, "--head-start", self.head_start, "0 with --cuda-graph")
        common.require(0 <= self.k_start <= 1, "--k-start", self.k_start, "in [0, 1]")
        common.require(0 < self.D_lr < math.inf, "--D-lr", self.D_lr, "above 0")
        for name in ("G_hidden", "D_hidden", "n", "G_n", "h"):
            common.require(getattr(self, name) >= 1, common.flag(name), getattr(self, name), "at least 1")
        size = self.image_size
        if self.network == "conv":
            common.require(size % 2 ** stages(size) == 0, "--image-size", size, "5, 6, 7 or 8 times a power of 2")


class Generator(nn.Module):
    """z (N×z_dim) to images (N×C×H×W in [−1, 1])."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        self.shape = (hp.channels, hp.image_size, hp.image_size)
        if hp.network == "conv":
            self.net = nn.Sequential(Decoder(hp, hp.z_dim, hp.G_n), nn.Tanh())
        else:
            self.net = nn.Sequential(
                *(nn.Linear(hp.z_dim, hp.G_hidden, bias=False), nn.BatchNorm1d(hp.G_hidden), nn.ReLU()),
                *(nn.Linear(hp.G_hidden, hp.G_hidden, bias=False), nn.BatchNorm1d(hp.G_hidden), nn.ReLU()),
                *(nn.Linear(hp.G_hidden, math.prod(self.shape)), nn.Tanh()),
            )

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).float().view(-1, *self.shape)


class Discriminator(nn.Module):
    """An autoencoder: images (N×C×H×W in [−1, 1]) to images of the same shape."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        if hp.network == "conv":
            self.net = nn.Sequential(Encoder(hp), Decoder(hp, hp.h, hp.n), nn.Sigmoid())
        else:
            pixels = hp.channels * hp.image_size**2
            self.net = nn.Sequential(
                *(nn.Flatten(), nn.Linear(pixels, hp.D_hidden), nn.ReLU()),
                *(nn.Linear(hp.D_hidden, pixels), nn.Unflatten(1, (hp.channels, hp.image_size, hp.image_size))),
            )

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.net((x + 1) / 2).float() - 1


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
    """M = L(x) + |γ L(x) − L(G(z))| (section 3.4)."""
    return L_real + error.abs()


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


def learn_to_draw(D: Discriminator, steps: int, run: common.Run) -> None:
    """Make D an autoencoder of real images before it plays. Without BatchNorm in G, a D that can draw but one
    blurred digit would teach G to make that digit for every z, and G would take long to listen to z again."""
    optimizer = torch.optim.Adam(D.parameters(), run.hp.lr, run.hp.betas, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        reconstruction_loss(D, run.real(), run.hp.eta).backward()
        common.average_gradients(D)
        optimizer.step()


def train(hp: Hyperparameters) -> None:
    """The objective of section 3.3 of the paper, one update of all three: D, G and k."""
    run = common.Run(hp)
    # channels_last: the layout in which CPUs convolve fastest
    G, D = (net(hp).to(run.device, memory_format=torch.channels_last) for net in (Generator, Discriminator))
    G_average = copy.deepcopy(G)
    opt_G = torch.optim.Adam(G.parameters(), hp.lr, hp.betas, fused=True)
    opt_D = torch.optim.Adam(D.parameters(), hp.D_lr, hp.betas, fused=True)
    k = torch.tensor(hp.k_start, device=run.device)
    head_start = hp.head_start if hp.network == "conv" else 0
    if run.checkpoint is None:  # a resumed run's D can draw already
        learn_to_draw(D, head_start, run)
    M_mean, M_best = torch.zeros((), device=run.device), torch.full((), math.inf, device=run.device)

    for step in run.steps(G=G, D=D, G_average=G_average, opt_G=opt_G, opt_D=opt_D, k=k, M_mean=M_mean, M_best=M_best):
        x, fake = run.real(), G(run.noise())
        L_real, L_fake = (reconstruction_loss(D, v, hp.eta) for v in (x, fake))

        # D: minimise  L(x) − k·L(G(z)), by its own weights alone: the `inputs`
        opt_D.zero_grad()
        discriminator_loss(L_real, L_fake, k).backward(inputs=list(D.parameters()), retain_graph=True)
        common.average_gradients(D)

        # G: minimise  L(G(z)), against the same old D
        opt_G.zero_grad()
        L_fake.backward(inputs=list(G.parameters()))
        common.average_gradients(G)

        opt_D.step()
        opt_G.step()
        run.average(G_average, G, hp.average)

        # The controller: k rises while G's images are reconstructed better than γ asks for
        with torch.no_grad():
            L_real, L_fake = common.mean_over_processes(torch.stack([L_real, L_fake]))
            error = balance_error(L_real, L_fake, hp.gamma)
            M = convergence(L_real, error)
            if step > head_start:
                k.copy_(update_k(k, error, hp.lambda_k))
            if hp.patience:
                halve_lr_on_plateau(step, hp.patience, M, M_mean, M_best, opt_G, opt_D)

        run.log(M=M, k=k.clone(), L_real=L_real, L_fake=L_fake, balance=L_fake / L_real, balance_target=hp.gamma)


# The paper's convolutional networks (its figure 1). What they make is bounded by the tanh and the sigmoid above:
# otherwise a D this deep can raise L(G(z)) without limit as soon as k is 0.01, and no controller is quick enough.


def stages(size: int) -> int:
    """How often a side of `size` pixels is halved until it is at most 8: 28 → 14 → 7, so 2."""
    return max(0, math.ceil(math.log2(max(size, 1) / 8)))


def initialise(module: nn.Module) -> None:
    """He's initial weights. With PyTorch's, each convolution would divide the variance of its input by about 3,
    and after seven of them all of G's images would look the same, whatever z."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)


class Encoder(nn.Module):
    """Images to codes (N×h): 3×3 convolutions, n, 2n, 3n, … filters, halved by strides; no BatchNorm."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(hp.channels, hp.n, 3, padding=1), nn.ELU()]
        filters = hp.n
        for _ in range(stages(hp.image_size)):
            layers += [nn.Conv2d(filters, filters, 3, padding=1), nn.ELU()]
            layers += [nn.Conv2d(filters, filters + hp.n, 3, stride=2, padding=1), nn.ELU()]
            filters += hp.n
        layers += [nn.Conv2d(filters, filters, 3, padding=1), nn.ELU(), nn.Flatten()]
        small = hp.image_size >> stages(hp.image_size)
        self.net = nn.Sequential(*layers, nn.Linear(filters * small**2, hp.h))
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Decoder(nn.Module):
    """Codes (N×length) to images: pairs of 3×3 convolutions of n filters, nearest-neighbour upsampling."""

    def __init__(self, hp: Hyperparameters, length: int, n: int) -> None:
        super().__init__()
        self.skip = hp.skip
        small = hp.image_size >> stages(hp.image_size)
        self.first = nn.Sequential(nn.Linear(length, n * small**2), nn.Unflatten(1, (n, small, small)))
        self.blocks = nn.ModuleList()
        for i in range(stages(hp.image_size) + 1):
            inputs = 2 * n if hp.skip and i > 0 else n
            self.blocks.append(
                nn.Sequential(
                    *(nn.Conv2d(inputs, n, 3, padding=1), nn.ELU()),
                    *(nn.Conv2d(n, n, 3, padding=1), nn.ELU()),
                )
            )
        self.last = nn.Conv2d(n, hp.channels, 3, padding=1)
        self.apply(initialise)

    def forward(self, code: Tensor) -> Tensor:
        h0 = self.first(code)
        x = self.blocks[0](h0)
        for block in self.blocks[1:]:
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            if self.skip:
                x = torch.cat([x, nn.functional.interpolate(h0, size=x.shape[2:], mode="nearest")], dim=1)
            x = block(x)
        return self.last(x)


if __name__ == "__main__":
    common.main(Hyperparameters, Generator, train)
