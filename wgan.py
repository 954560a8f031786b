r"""WGAN: a critic instead of a classifier, kept Lipschitz by clipping its weights; a loss that means something.

Arjovsky, Chintala, Bottou 2017, *Wasserstein GAN*, https://arxiv.org/abs/1701.07875

**Why.** The minimax form of dcgan.py's game reduces the Jensen-Shannon divergence (JSD) of the data P and the
samples Q. Where P and Q do not overlap it is log 2, near or far. Images fill only a thin surface in the space
of their 784 pixels, and two such surfaces hardly overlap. The Wasserstein-1 distance W tells near from far:
it is the least work that turns Q into P, mass times distance. See it: python -m ideas.wgan

**How to estimate it.** By the Kantorovich-Rubinstein duality (formula (2) of the paper) W is

    W(P, Q) = sup { E_P f(x) − E_Q f(x) : f is 1-Lipschitz }

the largest difference that such an f can show. f is K-Lipschitz if |f(x) − f(y)| ≤ K‖x − y‖ for all x and y:
then moving Q onto P changes E f by at most K · mass · distance, summed: K·W. A network f (the paper's
*critic*; `D` here as in all lessons) learns to show a large difference. Clipping its weights to [−c, c] after
each update bounds the slope of each layer, so all f that D can become share one K, unknown:

    D: maximise  E f(x) − E f(G(z))                        at most K·W(P, Q)
    G: maximise  E f(G(z))                                 moves samples uphill on f

The maximum is K·W only if the best f is a clipped network, and D reaches it only when trained to its end. One
hopes that the estimate follows W. No sigmoid, no logarithm: only differences of f mean something.

**The sign** confuses everyone. loss_D = E f(G(z)) − E f(x) is what D minimises: it lies below 0 and rises
towards 0 as the samples get better. `wasserstein` = −loss_D stands for K·W: it lies above 0 and *falls*.
loss_G has no meaning of its own, as f floats up and down.

**Why D has no BatchNorm.** In two batches, BatchNorm gives each unit's value `a` the same mean for real and
for generated images. LeakyReLU 0.2 is 0.6 a + 0.4 |a|: the part 0.6 a cancels in the loss, and the last
layer, weights w, sees only 0.4 Σ w (E|a| real − E|a| fake), no shift. (dcgan.py's D may be blind to a shift:
its loss is not read as a distance.) Here D only subtracts, from the second layer on, a unit's mean over the
*real* images, for both kinds (`Centre`); with no normalisation small runs drew no digits. Given the real
batch, f(x) depends on x alone, and the clipped weights alone bound K. The last hidden layer takes |a|, the
distance from that mean. (In the authors' code BatchNorm's scale is clipped too: f's values are bounded, but K
depends on the batch. With it these networks drew better digits, and the estimate hardly moved: docs/LOG.md.)

**What to look for.** `wasserstein` in curves.png rises while D learns, then falls as the digits get better.
(The paper trains D well before each step of G; here D learns meanwhile: docs/two-diffs.md.) Clipping is, in
the paper's words, "a clearly terrible way to enforce a Lipschitz constraint": too large a c and D takes long
to train, too small a one and its gradients vanish layer by layer. wgan_gp.py has another way.

Departures from the paper, for digits on a laptop in minutes
                    the paper                                here
    n_critic        5; in their code 100 in the first 25     1: more steps of G in the same time; the
                    steps and in every 500th                 estimate lags behind
    c               0.01                                     0.05
    RMSProp         5e-5 for both; decay 0.99 in their code  G 4e-3, D 1e-3, decay 0.9: D follows G quickly
    networks        of DCGAN, 64 px                          of dcgan.py; in D Centre, not BatchNorm, and |a|
    initial weights N(0, 0.02²)                              N(0, 0.1²)
    z               100 numbers; normal in their code        64 numbers from U(−1, 1), as in all lessons
    samples from    G                                        the exponential moving average of G's weights
The paper's own constants, on these networks:
    python wgan.py --n-critic 5 --c 0.01 --lr-G 5e-5 --lr-D 5e-5 --decay 0.99 --batch-size 64 --z-dim 100 \
        --width 64 --ema 0 --steps 100000

Run it:     python wgan.py
Compare:    python -m benchmarks.diff dcgan wgan; python -m benchmarks.diff wgan wgan_gp
Exercises:  docs/exercises.md
Measured (full MNIST, ten seeds): ten classes every time, FID 18.4 ± 3.5 by our own small classifier.
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
    lr_G: float = 4e-3
    """α, the learning rate, of G."""
    lr_D: float = 1e-3
    """α of D."""
    decay: float = 0.9
    """RMSProp averages the squares of the gradients over about 1/(1 − decay) steps."""
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

    @common.autocast  # bfloat16 inside, if --precision says so
    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class Centre(nn.Module):
    """Subtracts from each channel or unit its mean over real images: in train mode that of the batch at hand, which
    must be real, in eval mode the same once more. So in D's step real and generated images meet one and the same f,
    and its gradient passes through the means. G's step, still in eval mode, takes
    them as constants."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(())

    def forward(self, a: Tensor) -> Tensor:
        if self.training:
            self.mean = a.mean((0, *range(2, a.dim())), keepdim=True)
        return a - self.mean


class Discriminator(nn.Module):
    """Images (N×C×H×W in [−1, 1]) to one unbounded number each (N), larger for more real."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        n, channels = stages(hp.image_size), hp.width
        layers: list[nn.Module] = [nn.Conv2d(hp.channels, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for _ in range(n - 1):
            layers += [
                nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
                Centre(),
                nn.LeakyReLU(0.2),
            ]
            channels *= 2
        layers += [
            nn.Flatten(),
            nn.Linear(channels * (hp.image_size // 2**n) ** 2, hp.hidden),  # sees the whole digit
            Centre(),
            nn.LeakyReLU(-1.0),  # |a|
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
    opt_G, opt_D = (
        optim.RMSprop(net.parameters(), lr, hp.decay, foreach=True) for net, lr in ((G, hp.lr_G), (D, hp.lr_D))
    )

    # run.steps writes checkpoints of what is named here, and draws the samples by G_ema
    for step in run.steps(G=G, D=D, G_ema=ema.network, opt_G=opt_G, opt_D=opt_D):
        # D: maximise  E D(x) − E D(G(z)), while it is kept Lipschitz
        for _ in range(hp.n_critic):
            x = run.real()
            with torch.no_grad():  # G only serves here; it learns below
                fake = G(run.noise())
            d_real, d_fake = D.train()(x), D.eval()(fake)  # Centre takes its means from the real images alone
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
