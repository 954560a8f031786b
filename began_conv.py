r"""BEGAN with the paper's convolutional networks, also for small colour images.

Berthelot, Schumm, Metz 2017, *BEGAN: Boundary Equilibrium Generative Adversarial Networks*,
https://arxiv.org/abs/1703.10717

Read began.py first: the game and the measure M are the same. See it: python -m ideas.began. Different are the
networks (figure 1 of the paper) and their constants; D learns alone before the game; the error that moves k
is divided by L(x).

    encoder     3×3 convolutions with ELU; n, 2n, 3n, … filters, one n more with each halving of the image;
                then one fully connected layer to a code of h numbers
    decoder     one fully connected layer from the code to a small map of n filters, the paper's h₀; then
                pairs of 3×3 convolutions with ELU, and upsampling between the pairs
    D           encoder and decoder; G is a decoder alone, its code is the noise z. No dropout in either

With unbounded outputs −k·L(G(z)) has no lower bound. began.py's D bears a k of 0.8; here L(G(z)) exploded
at 0.01. So the outputs of both are bounded, D has fewer filters and a lower learning rate than G, and it
first learns to draw alone. The defaults are for small colour images, faces above all.

Departures from the paper
                the paper                 here
    networks    n = 64 or 128 in both     n = 32 in G, 12 in D (digits: 4), as D must not win; outputs bounded
                                          by a tanh and a sigmoid; with the skip connections (optional in
                                          the paper, section 3.5.1), not its residuals that fade out
    BatchNorm   none                      in G
    subsampling strides in D's encoder    means of 2×2: strides weight pixels unevenly in the gradient that G
                                          gets (Odena et al. 2016): a chequered grain in G's images
    upsampling  nearest neighbour         bilinear: with the means above, nearest left a weave at 64 px
    D's range   [−1, 1]                   [0, 1] inside: black is 0
    η           1                         2
    γ           0.5                       0.9: with 0.7 faces are nearer to real ones (one run), as the paper
                                          says of a low γ. Digits 1: with 0.7 (n_D 8) most are 1, 7 or 9
    k           starts at 0               at 0.6: from 0 G first makes the one image that D draws best
    error of k  γ L(x) − L(G(z))          divided by L(x), about 0.1: so λ_k 0.001 moves k some ten times as
                                          fast; clipped to [−1, 1]: at first L(G(z)) is large and k would fall
    Adam        1e-4 for both, β default  G 5e-4, D 5e-5: with twice these rates all faces of a step wear one
                                          colour for long; β₁ 0: with momentum the players overshoot; β₂ 0.99
    batch       16                        32
    head start  none                      D learns to draw for 400 steps, at G's rate
    one batch of noise serves both updates (the paper draws z_D and z_G); samples come from the EMA of G
The paper's own constants, with the bounds, initial weights and controller of this file (patience and steps
are ours; not tried as written: with β₁ 0.5 and an error not divided by L(x), MNIST ended in a blank):
    python began_conv.py --n-D 64 --n-G 64 --no-batchnorm --no-skip --strides --upsampling nearest --eta 1 \
        --gamma 0.5 --k-start 0 --lr-G 1e-4 --lr-D 1e-4 --betas 0.9 0.999 --batch-size 16 --ema 0 \
        --head-start 0 --patience 3000 --steps 200000
and for faces, not tried here, with 128 in place of 64, and with: --data path/to/img_align_celeba

What to look for in curves.png: on faces k falls to 0.4 or 0.5 within 500 steps, then rises to 0.5 to 0.65; on
digits it falls a little, then rises to 0.8 or more. docs/health.md: a good run, a strong D, a collapsed G.

Run it:     python -m benchmarks.pictures faces path/to/faces       (6,000 cartoon faces: docs/own-images.md)
            python began_conv.py --data path/to/faces --image-size 32
Digits:     python began_conv.py --gamma 1 --n-D 4 --batch-size 64 --lr-G 1e-3 --lr-D 1e-4
Compare:    python -m benchmarks.diff began began_conv
Exercises:  docs/exercises.md
Measured: cartoon faces, 32 px, three seeds: faces in all of 100 samples, two thirds as varied as real ones,
18 minutes on one core; 64 px, one run: faces in all, in grey clothes, an hour on two (docs/own-images.md).
MNIST, three seeds: ten classes every time, few 2s, FID 95 ± 6 (began.py is better, and quicker).
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
    """Change a default here, or give it as a flag: python began_conv.py --gamma 0.7."""

    # The game
    gamma: float = 0.9
    """γ, the balance E L(G(z)) / E L(x) that k steers to, in (0, 1]. Low: samples alike; high: diverse. Digits: 1."""
    lambda_k: float = 0.001
    """λ_k, the gain of the controller: the most that k changes in a step; 0: not at all."""
    k_start: float = 0.6
    """k at the first step, in [0, 1]."""
    eta: Literal[1, 2] = 2
    """η, the power in L: 1 as in the paper, 2 for the squared error."""
    head_start: int = 400
    """So many steps D alone learns to be an autoencoder, before the game."""

    # The optimisation
    steps: int = 2500
    """Updates of both players."""
    batch_size: int = 32
    """Images per update."""
    lr_G: float = 5e-4
    """Adam's learning rate for G."""
    lr_D: float = 5e-5
    """Adam's learning rate for D, which must not outrun G."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's β₁ (with momentum each player overshoots what the other has just changed) and β₂."""
    patience: int = 400
    """Halve the learning rate unless the mean of M over this many steps is the lowest so far; 0: never."""
    ema: float = 0.998
    """Decay of the exponential moving average of G's weights, from which the samples come; 0: G itself."""
    seed: int = 0
    """Of the weights, the noise and the choice of images."""

    # The networks
    z_dim: int = 64
    """Length of the noise z, each number from U(−1, 1)."""
    n_G: int = 32
    """Filters of G, n of the paper (64 or 128 there)."""
    n_D: int = 12
    """Filters of D (in the paper as many as G's): fewer than G's, as D must not win. Digits: 4."""
    h: int = 64
    """Length of the code between D's encoder and decoder."""
    batchnorm: bool = True
    """BatchNorm in G; the paper has none."""
    skip: bool = True
    """Give every upsampled block of a decoder its first map h₀ again (paper, section 3.5.1)."""
    strides: bool = False
    """Halve images in D's encoder by strides, as the paper does; if not, by the mean of 2×2 pixels."""
    upsampling: Literal["bilinear", "nearest"] = "bilinear"
    """How decoders enlarge their maps; nearest as in the paper."""

    def __post_init__(self) -> None:
        super().__post_init__()
        common.require(0 < self.gamma <= 1, "--gamma", self.gamma, "in (0, 1]")
        common.require(0 <= self.lambda_k < math.inf, "--lambda-k", self.lambda_k, "0 or more")
        common.require(0 <= self.k_start <= 1, "--k-start", self.k_start, "in [0, 1]")
        common.require(self.patience >= 0, "--patience", self.patience, "0 or more")
        common.require(self.head_start >= 0, "--head-start", self.head_start, "0 or more")
        for name in ("n_G", "n_D", "h"):
            common.require(getattr(self, name) >= 1, common.flag(name), getattr(self, name), "at least 1")
        size = self.image_size
        common.require(size % 2 ** stages(size) == 0, "--image-size", size, "5, 6, 7 or 8 times a power of 2")


def stages(size: int) -> int:
    """How often a side of `size` pixels is halved until it is at most 8: 28 → 14 → 7, so 2."""
    return max(0, (size - 1).bit_length() - 3)


def initialise(module: nn.Module) -> None:
    """Initial weights of He et al. 2015 (arXiv 1502.01852). With PyTorch's, each convolution would divide the variance
    of its input by about 3: after seven of them little of the code would be left in what D draws."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)


class Encoder(nn.Module):
    """Images to codes (N×h): 3×3 convolutions, n, 2n, 3n, … filters, halved by means or strides; no BatchNorm."""

    def __init__(self, hp: Hyperparameters, n: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(hp.channels, n, 3, padding=1), nn.ELU(inplace=True)]
        filters = n
        for _ in range(stages(hp.image_size)):
            layers += [nn.Conv2d(filters, filters, 3, padding=1), nn.ELU(inplace=True)]
            mean, stride = ([], 2) if hp.strides else ([nn.AvgPool2d(2)], 1)
            layers += [*mean, nn.Conv2d(filters, filters + n, 3, stride, padding=1), nn.ELU(inplace=True)]
            filters += n
        layers += [nn.Conv2d(filters, filters, 3, padding=1), nn.ELU(inplace=True), nn.Flatten()]
        small = hp.image_size >> stages(hp.image_size)
        self.net = nn.Sequential(*layers, nn.Linear(filters * small**2, hp.h))
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Decoder(nn.Module):
    """Codes (N×length) to images: pairs of 3×3 convolutions of n filters, upsampling between the pairs."""

    def __init__(self, hp: Hyperparameters, length: int, n: int, batchnorm: bool = False) -> None:
        super().__init__()
        self.skip, self.upsampling = hp.skip, hp.upsampling
        small = hp.image_size >> stages(hp.image_size)
        self.first = nn.Sequential(nn.Linear(length, n * small**2), nn.Unflatten(1, (n, small, small)))
        self.blocks = nn.ModuleList()
        for i in range(stages(hp.image_size) + 1):
            inputs = 2 * n if hp.skip and i > 0 else n
            layers: list[nn.Module] = []
            for channels in (inputs, n):
                norm = [nn.BatchNorm2d(n)] if batchnorm else []
                layers += [nn.Conv2d(channels, n, 3, padding=1), *norm, nn.ELU(inplace=True)]
            self.blocks.append(nn.Sequential(*layers))
        self.last = nn.Conv2d(n, hp.channels, 3, padding=1)
        self.apply(initialise)

    def forward(self, code: Tensor) -> Tensor:
        h0 = self.first(code).contiguous(memory_format=torch.channels_last)  # else torch.cat below loses that layout
        x = self.blocks[0](h0)
        for block in self.blocks[1:]:
            x = nn.functional.interpolate(x, scale_factor=2, mode=self.upsampling)
            if self.skip:
                x = torch.cat([x, nn.functional.interpolate(h0, size=x.shape[2:], mode=self.upsampling)], dim=1)
            x = block(x)
        return self.last(x)


class Generator(nn.Module):
    """z (N×z_dim) to images (N×C×H×W in [−1, 1])."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        self.net = nn.Sequential(Decoder(hp, hp.z_dim, hp.n_G, hp.batchnorm), nn.Tanh())

    @common.autocast
    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class Discriminator(nn.Module):
    """An autoencoder: images (N×C×H×W in [−1, 1]) to images of the same shape."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        self.net = nn.Sequential(Encoder(hp, hp.n_D), Decoder(hp, hp.h, hp.n_D), nn.Sigmoid())

    @common.autocast
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


def learn_to_draw(D: Discriminator, steps: int, run: common.Run) -> None:
    """Make D an autoencoder of real images before it plays. If it draws only one blurred digit, G may collapse to one
    blot for every z, and stay there for long (docs/exercises.md)."""
    common.say(f"before the game D learns to draw, for {steps} steps; there is no checkpoint before their end")
    # At G's rate: alone D may learn fast, it must be slow only in the game
    optimizer = torch.optim.Adam(D.parameters(), run.hp.lr_G, run.hp.betas, fused=True)
    with common.progress_bar(steps, 0) as bar:
        for _ in range(steps):
            optimizer.zero_grad()
            with common.forward_passes(run.bfloat16):
                reconstruction_loss(D, run.real(), run.hp.eta).backward()
            common.average_gradients(D)
            optimizer.step()
            bar.update()


def train(hp: Hyperparameters) -> common.Result:
    """The objective of section 3.4 of the paper, one update of all three: D, G and k."""
    run = common.Run(hp)
    hp = run.hp  # a copy that knows the size of the images
    # channels_last: the layout in which CPUs convolve fastest
    G, D = (net(hp).to(run.device, memory_format=torch.channels_last) for net in (Generator, Discriminator))
    ema = common.EMA(G, hp.ema)
    opt_G = torch.optim.Adam(G.parameters(), hp.lr_G, hp.betas, fused=True)
    opt_D = torch.optim.Adam(D.parameters(), hp.lr_D, hp.betas, fused=True)
    k = torch.tensor(hp.k_start, device=run.device)
    if hp.head_start and run.checkpoint is None:  # a resumed run's D can draw already
        learn_to_draw(D, hp.head_start, run)
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
            k.copy_(update_k(k, (error / L_real).clamp(-1, 1), hp.lambda_k))  # so one λ_k fits all images
            if hp.patience:
                halve_lr_on_plateau(step, hp.patience, M, M_mean, M_best, opt_G, opt_D)

        run.log(M=M, k=k, L_real=L_real, L_fake=L_fake, balance=L_fake / L_real, balance_target=hp.gamma)
        run.picture("reconstructions", reconstructions, D, x, fake)
    return run.result()


if __name__ == "__main__":
    common.main(Hyperparameters, Generator, train)
