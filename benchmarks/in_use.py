"""Settings that people train such GANs with today, each with its own plain loop: what quality.py compares with.

dcgan, wgan and wgan_gp are close to those of eriklindernoren/PyTorch-GAN on GitHub (not with its ε of 0.8 in BatchNorm
nor its first weights), began and fgan to the MLPs of shayneobrien/generative-models.
"""

import itertools

import torch
from torch import Tensor, nn

import common


def dense(*sizes: int, activation: type[nn.Module], last: nn.Module | None = None, norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(before, after))
        if i < len(sizes) - 2:
            layers += [nn.BatchNorm1d(after)] * (norm and i > 0) + [activation()]
    return nn.Sequential(*layers, *([last] if last is not None else []))


class InUse:
    """A setting that people use today, trained by its own plain loop. `range01`: its images lie in [0, 1]."""

    def __init__(self, name: str, images: Tensor, seed: int) -> None:
        torch.manual_seed(seed)
        self.name, self.images, self.range01 = name, images, name in ("began", "fgan")
        self.batch = 32 if self.range01 else 64
        self.z_dim = 10 if self.range01 else 100
        if name in ("began", "fgan"):
            self.G = dense(10, 128, 784, activation=nn.ReLU, last=nn.Sigmoid())
            if name == "began":
                self.D = dense(784, 128, 784, activation=nn.ReLU)
            else:
                self.D = dense(784, 128, 1, activation=nn.ReLU, last=nn.Sigmoid())  # bounds V, as is common
            self.opts = [torch.optim.Adam(net.parameters(), 1e-3) for net in (self.G, self.D)]
            self.k = 0.0
        elif name == "dcgan":
            self.G = nn.Sequential(
                *(
                    nn.Linear(100, 128 * 64),
                    nn.Unflatten(1, (128, 8, 8)),
                    nn.BatchNorm2d(128),
                    nn.Upsample(scale_factor=2),
                ),
                *(
                    nn.Conv2d(128, 128, 3, padding=1),
                    nn.BatchNorm2d(128),
                    nn.LeakyReLU(0.2),
                    nn.Upsample(scale_factor=2),
                ),
                *(nn.Conv2d(128, 64, 3, padding=1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2)),
                *(nn.Conv2d(64, 1, 3, padding=1), nn.Tanh()),
            )
            layers: list[nn.Module] = []
            for before, after in itertools.pairwise((1, 16, 32, 64, 128)):
                layers += [nn.Conv2d(before, after, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25)]
                layers += [nn.BatchNorm2d(after)] * (before > 1)
            self.D = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 4, 1))
            self.opts = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (self.G, self.D)]
        else:
            leaky = lambda: nn.LeakyReLU(0.2)  # noqa: E731
            self.G = dense(100, 128, 256, 512, 1024, 784, activation=leaky, last=nn.Tanh(), norm=True)
            self.D = dense(784, 512, 256, 1, activation=leaky)
            if name == "wgan":
                self.opts = [torch.optim.RMSprop(net.parameters(), 5e-5) for net in (self.G, self.D)]
            else:
                self.opts = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (self.G, self.D)]

    def real(self) -> Tensor:
        x = self.images[torch.randint(len(self.images), (self.batch,))].float() / 255
        x = x if self.range01 else 2 * x - 1
        if self.name == "dcgan":
            return nn.functional.interpolate(x, size=(32, 32), mode="bilinear")
        return x.flatten(1)

    def noise(self) -> Tensor:
        return torch.randn(self.batch, self.z_dim)

    def update(self, which: int, loss: Tensor) -> None:
        self.opts[which].zero_grad()
        loss.backward()
        self.opts[which].step()

    def step(self) -> None:
        G, D, bce = self.G, self.D, nn.functional.binary_cross_entropy_with_logits
        if self.name == "began":
            x, fake = self.real(), G(self.noise())
            error = lambda v: (v - D(v)).abs().sum(1).mean()  # noqa: E731
            real, generated = error(x), error(fake.detach())
            self.update(1, real - self.k * generated)
            self.update(0, error(G(self.noise())))
            self.k = min(max(self.k + 0.001 * (0.5 * real.item() - generated.item()), 0.0), 1.0)
        elif self.name == "fgan":  # reverse KL with the sign as printed: a small V means real
            v_real, v_fake = D(self.real()), D(G(self.noise()).detach())
            self.update(1, torch.exp(v_real).mean() - (v_fake + 1).mean())
            self.update(0, D(G(self.noise())).mean())
        elif self.name == "dcgan":
            ones, zeros = torch.ones(self.batch, 1), torch.zeros(self.batch, 1)
            fake = G(self.noise())
            self.update(0, bce(D(fake), ones))
            self.update(1, (bce(D(self.real()), ones) + bce(D(fake.detach()), zeros)) / 2)
        else:
            for _ in range(5):
                x, fake = self.real(), G(self.noise()).detach()
                loss = D(fake).mean() - D(x).mean()
                if self.name == "wgan_gp":
                    e = torch.rand(self.batch, 1)
                    between = (e * x + (1 - e) * fake).requires_grad_()
                    (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
                    loss = loss + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()
                self.update(1, loss)
                if self.name == "wgan":
                    for weight in D.parameters():
                        weight.data.clamp_(-0.01, 0.01)
            self.update(0, -D(G(self.noise())).mean())

    @torch.no_grad()
    def samples(self, n: int) -> Tensor:
        self.G.eval()
        g = torch.Generator().manual_seed(0)  # its own: the training goes on with the numbers that were its turn
        images = torch.cat([self.G(torch.randn(500, self.z_dim, generator=g)) for _ in range(n // 500)])
        self.G.train()
        if self.name == "dcgan":
            images = nn.functional.interpolate(images, size=(28, 28), mode="bilinear", antialias=True)
        images = images.view(n, 1, 28, 28)
        return common.to_uint8(2 * images - 1 if self.range01 else images)
