"""The same networks and losses in the loop of a textbook: what speed.py compares our loops with.

A DataLoader with transforms, one image at a time; optimizers that are not fused; .item() of every loss at every step;
G's graph kept in the critic's step, and gradients for the critic in G's; a second pass through D for G's step where
one would do; float32; malloc as the system has it.
"""

import importlib
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import common


class Images(Dataset):
    """As torchvision's data sets: a PIL image at a time, transformed."""

    def __init__(self, images: Tensor) -> None:
        self.images, channels = images, images.shape[1]
        normalise = transforms.Normalize([0.5] * channels, [0.5] * channels)
        self.transform = transforms.Compose([transforms.ToTensor(), normalise])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        return self.transform(transforms.functional.to_pil_image(self.images[i]))


class Training:
    """Networks, optimizers and batches of one script."""

    def __init__(self, script: str, hp: common.Options, device: torch.device) -> None:
        self.module, self.hp, self.device = importlib.import_module(script), hp, device
        images = common.load_images(hp.data, hp.data_dir, hp.image_size, hp.channels).images
        hp.channels, hp.image_size = images.shape[1:3]
        torch.manual_seed(hp.seed)
        self.G, self.D = self.module.Generator(hp).to(device), self.module.Discriminator(hp).to(device)
        self.opt_G, self.opt_D = (self.optimizer(net, player) for net, player in ((self.G, "G"), (self.D, "D")))
        loader = DataLoader(Images(images), hp.batch_size, shuffle=True, drop_last=True)
        self.batches: Iterator[Tensor] = itertools.chain.from_iterable(itertools.repeat(loader))
        self.k = getattr(hp, "k_start", 0.0)

    def optimizer(self, network: nn.Module, player: str) -> torch.optim.Optimizer:
        rate = getattr(self.hp, f"lr_{player}", None) or self.hp.lr
        if hasattr(self.hp, "betas"):
            return torch.optim.Adam(network.parameters(), rate, self.hp.betas, foreach=False)
        return torch.optim.RMSprop(network.parameters(), rate, foreach=False)

    def real(self) -> Tensor:
        return next(self.batches).to(self.device)

    def fake(self) -> Tensor:
        return self.G(torch.rand(self.hp.batch_size, self.hp.z_dim, device=self.device) * 2 - 1)

    def update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()


def dcgan_step(t: Training) -> None:
    t.update(t.opt_D, t.module.discriminator_loss(t.D(t.real()), t.D(t.fake())))
    t.update(t.opt_G, t.module.generator_loss(t.D(t.fake())))


def wgan_step(t: Training) -> None:
    for _ in range(t.hp.n_critic):
        t.update(t.opt_D, t.module.critic_loss(t.D(t.real()), t.D(t.fake())))
        for weight in t.D.parameters():
            weight.data.clamp_(-t.hp.c, t.hp.c)
    t.update(t.opt_G, t.module.generator_loss(t.D(t.fake())))


def wgan_gp_step(t: Training) -> None:
    for _ in range(t.hp.n_critic):
        x, fake = t.real(), t.fake()
        epsilon = torch.rand(len(x), 1, 1, 1, device=t.device)
        penalty, _ = t.module.gradient_penalty(t.D, x, fake, epsilon)
        t.update(t.opt_D, t.module.critic_loss(t.D(x), t.D(fake)) + t.hp.lambda_gp * penalty)
    t.update(t.opt_G, t.module.generator_loss(t.D(t.fake())))


def fgan_step(t: Training) -> None:
    divergence = t.module.choose_divergence(t.hp)
    x, fake = t.real(), t.fake()
    epsilon = torch.rand(len(x), 1, 1, 1, device=t.device)
    penalty, _ = t.module.gradient_penalty(t.D, x, fake, epsilon)
    loss_D = t.module.critic_loss(divergence, t.hp.K * t.D(x), t.hp.K * t.D(fake))
    t.update(t.opt_D, loss_D + t.hp.lambda_gp * penalty)
    t.update(t.opt_G, t.module.generator_loss(divergence, t.hp.K * t.D(t.fake()), t.hp.generator_objective))


def began_step(t: Training) -> None:
    L_real, L_fake = (t.module.reconstruction_loss(t.D, v, t.hp.eta) for v in (t.real(), t.fake()))
    t.update(t.opt_D, t.module.discriminator_loss(L_real, L_fake, t.k))
    t.update(t.opt_G, t.module.reconstruction_loss(t.D, t.fake(), t.hp.eta))
    t.k = min(max(t.k + t.hp.lambda_k * ((t.hp.gamma or 1) * L_real.item() - L_fake.item()), 0.0), 1.0)


STEPS = {
    "began": began_step,
    "began_conv": began_step,
    "dcgan": dcgan_step,
    "fgan": fgan_step,
    "wgan": wgan_step,
    "wgan_gp": wgan_gp_step,
}


def train(script: str, hp: common.Options, device: torch.device, after_step: Callable[[], None]) -> None:
    """Train without end; after_step() may raise to end it."""
    training = Training(script, hp, device)
    while True:
        STEPS[script](training)
        after_step()
