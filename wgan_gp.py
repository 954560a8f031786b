r"""WGAN-GP: the Wasserstein critic again, kept Lipschitz by a penalty on its gradient.

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville 2017, *Improved Training of Wasserstein GANs*,
https://arxiv.org/abs/1704.00028

Read wgan.py first: what the critic f estimates, and the signs of the losses, are the same here. `D` is f.

**What clipping costs.** Clipped weights make D Lipschitz, but push it towards a simple function (figure 1a of
the paper; without normalisation most weights end at ±c, figure 1b). See it: python -m ideas.wgan_gp

**What is known of the best critic.** f is 1-Lipschitz if its gradient has norm 1 or less everywhere. The best
has norm 1 (proposition 1) on the straight lines along which the cheapest transport, that of W, moves samples
to the data. These lines are unknown. So the paper takes random pairs of an image and a sample, and asks for
a norm of 1 at a random place between the two, where the best f may well have less. That this works all the
same the paper found, but did not prove.

    D: minimise  E D(G(z)) − E D(x) + λ E (‖∇D(x̂)‖₂ − 1)²     formula (3); λ is 10
    x̂ = ε x + (1 − ε) G(z),   ε ~ U(0, 1)                     one number for each pair
    G: maximise  E D(G(z))

The norm is that of the gradient with respect to a whole image: over channels, height and width together. To
descend on it, the gradient must itself be differentiated: `create_graph=True` records how it was computed.

**Why D has no BatchNorm.** The penalty is about D's answer to each single image, and BatchNorm makes every
answer depend on the whole batch. Without it one call of autograd, on the sum of the answers, gives the
gradient of each answer. (The paper suggests LayerNorm in its place; here D has none.)

**Initial weights.** Nothing scales D's values any more, so its first weights must: from N(0, 0.1²) the first
gradients on digits have a norm near 2. From N(0, 0.02²), as in dcgan.py, it would be 0.003, and D would need
some steps to grow. (In larger networks it starts higher, and the penalty brings it down.) G's weights are
drawn in the same way.

**What to look for.** `gradient_norm`, the mean of ‖∇D(x̂)‖: near 1. So `wasserstein`, E D(x) − E D(G(z))
without the penalty (not −loss_D), is at most about W, and may be far below. It falls steeply while the first
digits appear, then slowly: docs/two-diffs.md. All games in one plane: python -m ideas.plane

Departures from the paper, for digits on a laptop in two minutes
                    the paper                                    here
    n_critic        5                                            1: more steps of G in the same time
    lr of Adam      1e-4 for both                                2e-3 for both
    z               128 numbers, normal                          64 numbers from U(−1, 1), as in all lessons
    networks        their MNIST code: 64 wide, no BatchNorm, no  those of dcgan.py; BatchNorm in G alone
                    fully connected hidden layer
    images          their MNIST code: [0, 1], by a sigmoid       [−1, 1], by a tanh
    initial weights their MNIST code: by a layer's inputs and    N(0, 0.1²) in both players
                    outputs
    samples from    G                                            the exponential moving average of G's weights
The betas are Algorithm 1's, the batch size is appendix F's. (Their MNIST code: β₁ 0.5, batches of 50.)
The paper's own constants, on these networks and with this file's initial weights:
    python wgan_gp.py --n-critic 5 --lr-G 1e-4 --lr-D 1e-4 --betas 0 0.9 --batch-size 64 --z-dim 128 \
        --width 64 --ema 0 --steps 200000

Run it:     python wgan_gp.py
Compare:    python -m benchmarks.diff wgan wgan_gp
Exercises:  docs/exercises.md
Measured (full MNIST, five seeds): ten classes every time, FID 6.9 ± 0.8 by our own small classifier.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim

import common


@dataclass(kw_only=True)
class Hyperparameters(common.Options):
    """Change a default here, or give it as a flag: python FILE --lr-G 1e-3."""

    # The game
    n_critic: int = 1
    """Updates of D per update of G."""
    lambda_gp: float = 10.0
    """λ, the weight of the gradient penalty."""

    # The optimisation
    steps: int = 2500
    """Updates of G in all."""
    batch_size: int = 64
    """m, images per update."""
    lr_G: float = 2e-3
    """α, the learning rate, of G."""
    lr_D: float = 2e-3
    """α of D."""
    betas: tuple[float, float] = (0.0, 0.9)
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
        common.require(self.lambda_gp >= 0, "--lambda-gp", self.lambda_gp, "0 or more")
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
                nn.LeakyReLU(0.2),
            ]
            channels *= 2
        layers += [
            nn.Flatten(),
            nn.Linear(channels * (hp.image_size // 2**n) ** 2, hp.hidden),  # sees the whole digit
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
        nn.init.normal_(module.weight, 0.0, 0.1)


def critic_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
    """What D minimises, from its outputs for N real and N generated images."""
    return d_fake.mean() - d_real.mean()


def generator_loss(d_fake: Tensor) -> Tensor:
    """What G minimises, from D's outputs for N generated images."""
    return -d_fake.mean()


def gradient_penalty(D: nn.Module, x: Tensor, fake: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """E (‖∇D(x̂)‖₂ − 1)² and E ‖∇D(x̂)‖₂ at x̂ = ε x + (1 − ε) G(z), with one ε per sample: N×1×1×1."""
    x_hat = (epsilon * x + (1 - epsilon) * fake).requires_grad_()
    norm = torch.autograd.grad(D(x_hat).sum(), x_hat, create_graph=True)[0].flatten(1).norm(dim=1)
    return ((norm - 1) ** 2).mean(), norm.mean()


def train(hp: Hyperparameters) -> common.Result:
    """Algorithm 1 of the paper."""
    run = common.Run(hp)
    hp = run.hp  # a copy that knows the size of the images
    G, D = Generator(hp).to(run.device), Discriminator(hp).to(run.device)
    ema = common.EMA(G, hp.ema)
    opt_G, opt_D = (optim.Adam(net.parameters(), lr, hp.betas, fused=True) for net, lr in ((G, hp.lr_G), (D, hp.lr_D)))

    # run.steps writes checkpoints of what is named here, and draws the samples by G_ema
    for step in run.steps(G=G, D=D, G_ema=ema.network, opt_G=opt_G, opt_D=opt_D):
        # D: maximise  E D(x) − E D(G(z)), while it is kept Lipschitz
        for _ in range(hp.n_critic):
            x = run.real()
            with torch.no_grad():  # G only serves here; it learns below
                fake = G(run.noise())
            d_real, d_fake = D(x), D(fake)
            loss_D = critic_loss(d_real, d_fake)
            penalty, norm = gradient_penalty(D, x, fake, run.epsilon())
            loss_D = loss_D + hp.lambda_gp * penalty  # formula (3)
            opt_D.zero_grad()
            loss_D.backward()
            common.average_gradients(D)  # over the processes, if there are several
            opt_D.step()

        # G: maximise  E D(G(z))
        loss_G = generator_loss(D(G(run.noise())))
        opt_G.zero_grad()
        loss_G.backward(inputs=list(G.parameters()))  # through D to G; D's weights get no gradients
        common.average_gradients(G)
        opt_G.step()
        ema.update(step)

        run.log(loss_D=loss_D, loss_G=loss_G, wasserstein=(d_real - d_fake).mean(), gradient_norm=norm)
    return run.result()


if __name__ == "__main__":
    common.main(Hyperparameters, Generator, train)
