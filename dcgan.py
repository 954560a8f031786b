r"""DCGAN: two convolutional networks play the original game.

The game    Goodfellow et al. 2014, *Generative Adversarial Nets*, https://arxiv.org/abs/1406.2661
The players Radford, Metz, Chintala 2015, *Unsupervised Representation Learning with Deep Convolutional
            Generative Adversarial Networks*, https://arxiv.org/abs/1511.06434

A generator G turns noise z into images. A discriminator D sees real images x and generated ones and says,
of each, how probable it is that it is real. D learns to tell them apart, G learns to be believed:

    D: maximise  E log D(x) + E log(1 − D(G(z)))        formula (1) of Goodfellow et al.; E is the mean
    G: maximise  E log D(G(z))                          the non-saturating form, their section 3

The network D returns the *logit* d; D(x) in the formulas is σ(d). The logarithms are then −log σ(d) =
softplus(−d) and −log(1 − σ(d)) = softplus(d), which neither overflow nor lose precision.

**What the best D knows.** The data P have a density p, G's images Q a density q. For a fixed G the best D
maximises p log D + q log(1 − D) at each x: D* = p/(p + q). That is ½ p over the density of M = ½ (P + Q). So
D's objective is then 2·JSD(P‖Q) − log 4, with JSD = ½ KL(P‖M) + ½ KL(Q‖M), KL(P‖Q) = E_P log(p/q). This
Jensen-Shannon divergence is 0 if P = Q, log 2 if they do not overlap. So a G that minimises that objective
(the *minimax* game) reduces the JSD.

**Why G has another loss.** In the minimax game G minimises E log(1 − D(G(z))), here −E log D(G(z)). Both are
lowest where D is highest, but they weigh samples differently. Their derivatives by the logit are −D and
−(1 − D): the minimax loss weighs those most that fool D already, the non-saturating loss those that do not.
Where D is sure of all samples (early on, say Goodfellow et al.), D(G(z)) is near 0 and the minimax gradient
nearly vanishes. (Adam evens out a gradient's size, not this weighting: exercise 1. With the best D, G's
gradient is that of KL(Q‖P) − 2·JSD, not of the JSD: Arjovsky and Bottou 2017, arXiv 1701.04862.)

**The networks** are those of Radford et al., sections 3 and 4: strided convolutions in place of pooling;
BatchNorm, but neither on G's output nor on D's input; ReLU in G with tanh at its end, LeakyReLU in D; initial
weights from N(0, 0.02²); Adam. For deeper networks the paper advises against fully connected hidden layers.
The authors' own MNIST code (github.com/Newmu/dcgan_code; there both players also see the digit's class) has
one in each player, and so do these. BatchNorm is why D sees real and generated images in two batches: it uses
the mean and variance of the batch at hand, and in a mixed one the verdict on an image would depend on images
of the other kind.

**What to look for.** D_real = E D(x) and D_fake = E D(G(z)) in curves.png: ½ each (dashed) if D can only
guess. Neither they nor the losses say how good the images are: the players can be in balance with poor images
and with good ones. wgan.py is about that. All samples come from a mean of G's weights over the last steps
(the *exponential moving average*, EMA; Yazıcı et al. 2018, arXiv 1806.04498): in simple games players who
react to each other circle around the solution, and the mean lies nearer to it. See both: python -m ideas.gan

Departures from the paper, for digits on a laptop in two minutes
                  the paper                                         here
    width         128 for 64×64 images; 64 in their MNIST code      16: speed
    hidden        none; 1024 in their MNIST code                    512
    smallest map  4×4; 7×7 in their MNIST code                      digits 7×7; kernels 4×4, not 5×5
    batch_size    128                                               64: more updates per second
    lr            2e-4 for both                                     G 5e-3, D 1e-3: first digits in seconds
    betas         (0.5, 0.999)                                      (0, 0.99): no momentum
    z_dim         100                                               64
    samples from  G                                                 the EMA of G's weights
The paper's own constants, with the size of their MNIST networks (steps are ours):
    python dcgan.py --width 64 --hidden 1024 --batch-size 128 --lr-G 2e-4 --lr-D 2e-4 --betas 0.5 0.999 \
        --z-dim 100 --ema 0 --steps 50000

Run it:     python dcgan.py
Compare:    python -m benchmarks.diff dcgan wgan
Exercises:  docs/exercises.md
Measured (full MNIST, five seeds): ten classes every time, FID 8.5 ± 0.7 by our own small classifier.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import common


@dataclass(kw_only=True)
class Hyperparameters(common.Options):
    """Change a default here, or give it as a flag: python FILE --lr-G 1e-3."""

    # The game
    n_critic: int = 1
    """Updates of D per update of G."""

    # The optimisation
    steps: int = 2500
    """Updates of G in all."""
    batch_size: int = 64
    """m, images per update."""
    lr_G: float = 5e-3
    """α, the learning rate, of G."""
    lr_D: float = 1e-3
    """α of D."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's β₁ and β₂."""
    ema: float = 0.99
    """Decay of the exponential moving average of G's weights, from which the samples come; 0: G itself."""
    seed: int = 0
    """Of the weights, the noise and the choice of images."""

    # The networks
    z_dim: int = 64
    """Length of the noise z, each number from U(−1, 1)."""
    width: int = 16
    """Channels at the highest resolution; they double with every halving of the image."""
    hidden: int = 512
    """Units of the fully connected hidden layer that each player has where the image is smallest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.image_size
        common.require(self.hidden >= 1, "--hidden", self.hidden, "at least 1")
        common.require(size % 2 ** stages(size) == 0, "--image-size", size, "5, 6, 7 or 8 times a power of 2")


def stages(size: int) -> int:
    """How often a side of `size` pixels is halved until it is at most 8, once at least: 28 → 14 → 7, so 2."""
    return max(1, (size - 1).bit_length() - 3)


class Generator(nn.Module):
    """z (N×z_dim) to images (N×C×H×W in [−1, 1])."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        n = stages(hp.image_size)
        small, channels = hp.image_size // 2**n, hp.width * 2 ** (n - 1)
        # Two fully connected layers draw a small map of the whole digit, each further layer doubles its side
        layers: list[nn.Module] = [
            nn.Linear(hp.z_dim, hp.hidden, bias=False),
            nn.BatchNorm1d(hp.hidden),
            nn.ReLU(),
            nn.Linear(hp.hidden, channels * small**2, bias=False),
            nn.Unflatten(1, (channels, small, small)),
        ]
        for _ in range(n - 1):
            layers += [
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False),
            ]
            channels //= 2
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.ConvTranspose2d(channels, hp.channels, 4, stride=2, padding=1), nn.Tanh()]
        self.net = nn.Sequential(*layers)
        self.apply(initialise)

    @common.autocast  # bfloat16 inside, if --precision says so
    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class Discriminator(nn.Module):
    """Images (N×C×H×W in [−1, 1]) to one unbounded number each (N), larger for more real."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        n, channels = stages(hp.image_size), hp.width
        layers: list[nn.Module] = [nn.Conv2d(hp.channels, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for _ in range(n - 1):
            layers += [
                nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
                nn.BatchNorm2d(2 * channels, track_running_stats=False),  # D is never used in eval mode
                nn.LeakyReLU(0.2),
            ]
            channels *= 2
        layers += [
            nn.Flatten(),
            nn.Linear(channels * (hp.image_size // 2**n) ** 2, hp.hidden),  # sees the whole digit
            nn.BatchNorm1d(hp.hidden, track_running_stats=False),
            nn.LeakyReLU(0.2),
        ]
        self.net = nn.Sequential(*layers, nn.Linear(hp.hidden, 1))
        self.apply(initialise)

    @common.autocast
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)


def initialise(module: nn.Module) -> None:
    """The first weights and BatchNorm's first scales, drawn at random; biases stay as PyTorch makes them."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


def discriminator_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
    """What D minimises, from its outputs for N real and N generated images."""
    return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()


def generator_loss(d_fake: Tensor) -> Tensor:
    """What G minimises, from D's outputs for N generated images."""
    return F.softplus(-d_fake).mean()


def train(hp: Hyperparameters) -> common.Result:
    """Algorithm 1 of Goodfellow et al., with Adam and the non-saturating loss of G."""
    run = common.Run(hp)
    hp = run.hp  # a copy that knows the size of the images
    G, D = Generator(hp).to(run.device), Discriminator(hp).to(run.device)
    ema = common.EMA(G, hp.ema)
    opt_G, opt_D = (optim.Adam(net.parameters(), lr, hp.betas, fused=True) for net, lr in ((G, hp.lr_G), (D, hp.lr_D)))

    # run.steps writes checkpoints of what is named here, and draws the samples by G_ema
    for step in run.steps(G=G, D=D, G_ema=ema.network, opt_G=opt_G, opt_D=opt_D):
        # D: maximise  E log D(x) + E log(1 − D(G(z)))
        for _ in range(hp.n_critic):
            x = run.real()
            with torch.no_grad():  # G only serves here; it learns below
                fake = G(run.noise())
            d_real, d_fake = D(x), D(fake)
            loss_D = discriminator_loss(d_real, d_fake)
            opt_D.zero_grad()
            loss_D.backward()
            common.average_gradients(D)  # over the processes, if there are several
            opt_D.step()

        # G: maximise  E log D(G(z))
        loss_G = generator_loss(D(G(run.noise())))
        opt_G.zero_grad()
        loss_G.backward(inputs=list(G.parameters()))  # through D to G; D's weights get no gradients
        common.average_gradients(G)
        opt_G.step()
        ema.update(step)

        D_real, D_fake = d_real.sigmoid().mean(), d_fake.sigmoid().mean()
        run.log(loss_D=loss_D, loss_G=loss_G, D_real=D_real, D_fake=D_fake, D_target=0.5)
    return run.result()


if __name__ == "__main__":
    common.main(Hyperparameters, Generator, train)
