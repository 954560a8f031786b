r"""WGAN: a critic instead of a judge, kept Lipschitz by clipping its weights; a loss that means something.

Arjovsky, Chintala, Bottou 2017, *Wasserstein GAN*, https://arxiv.org/abs/1701.07875

The minimax form of dcgan.py's game reduces the Jensen-Shannon divergence. Where data and samples do not overlap, that
is constant (log 2) and gives no gradient. And images fill only a thin surface in the space of their 784 pixels: two
such surfaces hardly overlap. (dcgan.py learns all the same: its D is never at its best, and its G has the
non-saturating loss.)
The Wasserstein-1 distance is the least work that turns one distribution into the other, mass times the distance that
it is moved. It still tells near from far where nothing overlaps. By the Kantorovich-Rubinstein duality (formula (2) of
the paper; P the data, Q the samples) it is

    W(P, Q) = sup { E_P f(x) − E_Q f(x) : f is 1-Lipschitz }

the largest difference that such an f can show (sup). f is K-Lipschitz if |f(x) − f(y)| ≤ K‖x − y‖ for all x and y.
A network f (the paper's critic, `D` here as in all scripts) can estimate W if it is kept Lipschitz. Here: after each
update of D every weight is clipped to [−c, c]. Then all f that D can become share one K, unknown but fixed, and

    D: maximise  E f(x) − E f(G(z))                         at most K·W(P, Q)
    G: maximise  E f(G(z))                                  moves samples uphill on f

It reaches K·W only with D at its best, and if the best f is among the clipped networks. What one hopes for is that it
rises and falls with W. (With BatchNorm in f, as in the paper and here, there is strictly no such K: f(x) depends on
the batch that x is in, and BatchNorm divides by the batch's standard deviation, which may be small.)
There is no sigmoid and no logarithm: f is no probability, only differences of it mean something.

The sign confuses everyone. loss_D = E f(G(z)) − E f(x) is what D *minimises*: it lies below 0, and rises
towards 0 as the samples get better. `wasserstein` = −loss_D stands for K·W: it lies above 0, and
*falls* as the samples get better. loss_G = −E f(G(z)) has no meaning of its own, as f floats up and down.

What to look for: after the first 250 steps, in which D's weights and the scale of f still grow, `wasserstein` in
curves.png falls while the digits get better, here by a fifth. That is the paper's claim; it was the
first GAN loss to do so, it says. The page docs/two-diffs.md shows how well it holds here, and the curves of
dcgan.py beside it. (It does not always hold: in two of ten seeds `wasserstein` rose again, with colour pictures
it rose all the time. In wgan_gp.py it holds better.)

Clipping is, in the paper's words, "a clearly terrible way to enforce a Lipschitz constraint": too large a c
and D takes long to train, too small a one and its gradients vanish layer by layer. What makes it work here is
BatchNorm after every hidden layer of D but the first, the fully connected one included: FID is 55 after 250 steps,
and 1067 without BatchNorm on that layer alone (one seed). The clip also holds BatchNorm's scales, which start at 1,
at c or below: so it bounds the values of f. The weights before a BatchNorm hardly meet it, as their
scale is divided out: 2 % of them end at ±c, and 57 % of the last layer's. (The larger c, the less the estimate falls
while the digits get better: docs/LOG.md.)

BatchNorm has a price. After the fully connected layer it subtracts the batch's mean and divides by its standard
deviation. So D hardly sees what all images of a batch have in common, and a batch of nearly equal images looks to it
as varied as a real one: G may end with one image for every z (*mode collapse*). With digits it does not; with colour
pictures of 64 px it did. So above 32 px this one BatchNorm adds 1e-2 (ε) to the variance, not 1e-5. A real batch has
about this variance, so D can see when a batch varies less. (With digits it costs: FID 9.8 in place of 4.7, seed 0.)

Departures from the paper, for digits on a laptop in two minutes
                      the paper             here
    n_critic          5; in their code 100  1: in two minutes more steps of G bring more than a better critic
                      in the first 25 steps
                      and in every 500th
    c                 0.01                  0.05: a better FID than 0.02, level with 0.1 (docs/LOG.md)
    lr of RMSProp     5e-5 for both         G 2e-3, D 1e-3
    networks          of DCGAN, 64 px       those of dcgan.py; above 32 px a larger ε in D's
                                            last BatchNorm
    z                 100 numbers, in their 64 numbers from U(−1, 1), as in the other scripts
                      code normal
    samples from      G                     the exponential moving average of G's weights
The paper's own constants, on these networks:
    python wgan.py --n-critic 5 --c 0.01 --lr-G 5e-5 --lr-D 5e-5 --batch-size 64 --z-dim 100 --width 64 --ema 0 \
        --steps 100000

Run it:     python wgan.py
Compare:    diff dcgan.py wgan.py; diff wgan.py wgan_gp.py
Exercises:  docs/exercises.md
Measured (full MNIST, 10 seeds): ten classes every time, FID 5.4 ± 1.2; about two minutes on one core.
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
    c: float = 0.05
    """Every weight of D is clipped to [−c, c]."""

    # The optimisation
    steps: int = 2500
    """Updates of G in all."""
    batch_size: int = 64
    """m, images per update."""
    lr_G: float = 2e-3
    """α, the learning rate, of G."""
    lr_D: float = 1e-3
    """α of D."""
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
        common.require(self.c > 0, "--c", self.c, "above 0")
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

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).float()  # under autocast the last layer may give bfloat16


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
            nn.BatchNorm1d(hp.hidden, eps=1e-5 if hp.image_size <= 32 else 1e-2, track_running_stats=False),
            nn.LeakyReLU(0.2),
        ]
        self.net = nn.Sequential(*layers, nn.Linear(hp.hidden, 1))
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1).float()


def initialise(module: nn.Module) -> None:
    """The first weights and BatchNorm's first scales, drawn at random; biases stay as PyTorch makes them."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


def critic_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
    """What D minimises, from its outputs for N real and N generated images."""
    return d_fake.mean() - d_real.mean()


def generator_loss(d_fake: Tensor) -> Tensor:
    """What G minimises, from D's outputs for N generated images."""
    return -d_fake.mean()


def clip_weights(D: nn.Module, c: float) -> None:
    """Every weight of D to [−c, c], in place: all f that D can become share one Lipschitz constant."""
    for weight in D.parameters():
        weight.detach().clamp_(-c, c)


def train(hp: Hyperparameters) -> common.Result:
    """Algorithm 1 of the paper."""
    run = common.Run(hp)
    hp = run.hp  # a copy that knows the size of the images
    G, D = Generator(hp).to(run.device), Discriminator(hp).to(run.device)
    ema = common.EMA(G, hp.ema)
    opt_G, opt_D = (optim.RMSprop(net.parameters(), lr, foreach=True) for net, lr in ((G, hp.lr_G), (D, hp.lr_D)))

    # run.steps writes checkpoints of what is named here, and draws the samples by G_ema
    for step in run.steps(G=G, D=D, G_ema=ema.network, opt_G=opt_G, opt_D=opt_D):
        # D: maximise  E D(x) − E D(G(z)), while it is kept Lipschitz
        for _ in range(hp.n_critic):
            x = run.real()
            with torch.no_grad():  # G only serves here; it learns below
                fake = G(run.noise())
            d_real, d_fake = D(x), D(fake)
            loss_D = critic_loss(d_real, d_fake)
            opt_D.zero_grad()
            loss_D.backward()
            common.average_gradients(D)  # over the processes, if there are several
            opt_D.step()
            clip_weights(D, hp.c)

        # G: maximise  E D(G(z))
        loss_G = generator_loss(D(G(run.noise())))
        opt_G.zero_grad()
        loss_G.backward(inputs=list(G.parameters()))  # through D to G; D's weights get no gradients
        common.average_gradients(G)
        opt_G.step()
        ema.update(step)

        run.log(loss_D=loss_D, loss_G=loss_G, wasserstein=(d_real - d_fake).mean())
    return run.result()


if __name__ == "__main__":
    common.main(Hyperparameters, Generator, train)
