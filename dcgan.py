"""DCGAN."""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common


@dataclass(kw_only=True)
class Hyperparameters(common.Options):
    """DCGAN (Radford et al. 2015): the original GAN game, played by two convolutional networks."""

    steps: int = 2000
    """Generator updates in all."""
    batch_size: int = 64
    """m, images per update (paper: 128; smaller batches buy more updates per second on a CPU)."""
    lr: float = 5e-4
    """α, Adam's learning rate for both players (paper: 2e-4; higher suits the shorter run)."""
    beta1: float = 0.5
    """Adam's β₁ (paper: 0.5; the usual 0.9 oscillates)."""
    beta2: float = 0.99
    """Adam's β₂."""
    z_dim: int = 64
    """Length of the noise z (paper: 100)."""
    width: int = 32
    """Channels at the highest resolution; they double with every halving (paper: 128 for G, at 64×64)."""
    average: float = 0.99
    """Decay of the running average of G's weights that the samples come from; 0: none, as in the paper."""
    seed: int = 0
    """Of weights, noise and the order of the images."""
    out: str = "out/dcgan"
    """Folder of the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        common.require(self.lr > 0, "--lr", self.lr, "above 0")
        common.require(0 <= self.beta1 < 1, "--beta1", self.beta1, "in [0, 1)")
        common.require(0 <= self.beta2 < 1, "--beta2", self.beta2, "in [0, 1)")
        common.require(self.z_dim >= 1, "--z-dim", self.z_dim, "at least 1")
        common.require(self.width >= 1, "--width", self.width, "at least 1")
        common.require(0 <= self.average < 1, "--average", self.average, "in [0, 1)")
        common.require(fits(self.image_size), "--image-size", self.image_size, "4, 5, 6 or 7 times a power of 2")


def stages(size: int) -> int:
    """How often `size` is halved on the way to the smallest map, which is 4 to 7 pixels wide: 28 → 14 → 7."""
    return (size // 4).bit_length() - 1


def fits(size: int) -> bool:
    return size == 0 or size % 2 ** stages(size) == 0


class Generator(nn.Module):
    """z (N×z_dim) to images (N×C×H×W in [-1, 1])."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        n = stages(hp.image_size)
        small, channels = hp.image_size >> n, hp.width << (n - 1)
        layers = [
            nn.Linear(hp.z_dim, channels * small**2, bias=False),
            nn.Unflatten(1, (channels, small, small)),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        for _ in range(n - 1):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels // 2),
                nn.ReLU(),
            ]
            channels //= 2
        self.net = nn.Sequential(*layers, nn.ConvTranspose2d(channels, hp.channels, 4, stride=2, padding=1), nn.Tanh())
        self.apply(initialise)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).float()


class Discriminator(nn.Module):
    """Images (N×C×H×W) to one logit each (N): above 0 means "real"."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        n = stages(hp.image_size)
        layers = [nn.Conv2d(hp.channels, hp.width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = hp.width
        for _ in range(n - 1):
            layers += [
                nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(2 * channels, track_running_stats=False),
                nn.LeakyReLU(0.2),
            ]
            channels *= 2
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * (hp.image_size >> n) ** 2, 1))
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1).float()


def initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), BatchNorm's from N(1, 0.02) (paper, section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)


def discriminator_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
    return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()


def generator_loss(d_fake: Tensor) -> Tensor:
    return F.softplus(-d_fake).mean()


def train(hp: Hyperparameters) -> None:
    run = common.Run("dcgan", hp)
    G, D = Generator(hp).to(run.device), Discriminator(hp).to(run.device)
    G_average = copy.deepcopy(G)
    opt_G = torch.optim.Adam(G.parameters(), lr=hp.lr, betas=(hp.beta1, hp.beta2), fused=True)
    opt_D = torch.optim.Adam(D.parameters(), lr=hp.lr, betas=(hp.beta1, hp.beta2), fused=True)

    for _step in run.steps(G=G, D=D, G_average=G_average, opt_G=opt_G, opt_D=opt_D):
        x, z = run.real(), run.noise()
        with torch.no_grad():
            fake = G(z)
        d_real, d_fake = D(x), D(fake)
        loss_D = discriminator_loss(d_real, d_fake)
        opt_D.zero_grad()
        loss_D.backward()
        common.average_gradients(D)
        opt_D.step()

        with common.frozen(D):
            loss_G = generator_loss(D(G(run.noise())))
            opt_G.zero_grad()
            loss_G.backward()
        common.average_gradients(G)
        opt_G.step()
        common.average_weights(G_average, G, hp.average)

        run.log(loss_D=loss_D, loss_G=loss_G, D_real=d_real.sigmoid().mean(), D_fake=d_fake.sigmoid().mean())


if __name__ == "__main__":
    common.main("dcgan", Hyperparameters, Generator, train)
