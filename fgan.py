r"""f-GAN: the GAN game for any f-divergence, from one table.

Nowozin, Cseke, Tomioka 2016, *f-GAN: Training Generative Neural Samplers using Variational Divergence
Minimization*, https://arxiv.org/abs/1606.00709

How a convex function becomes a game, in four lines. With u = p(x)/q(x), data P and generator Q:

    D_f(P‖Q) = E_Q[f(u)]                                    f convex, f(1) = 0: the divergence
    f(u)     = sup_t { u t − f*(t) }                        a convex f is the supremum of its tangents
    D_f(P‖Q) = E_Q[sup_t { u t − f*(t) }]                   put in: the best slope t at each x
             ≥ sup_T { E_P[T(x)] − E_Q[f*(T(x))] }          as E_Q[u T] = E_P[T]; T of some class (a network): a bound

The *conjugate* f*(t) = sup_u { u t − f(u) } places the tangent of slope t: it is the line u t − f*(t). The last line
needs no densities, only samples, so a network can maximise it: T = g_f(V(x)), where V is any network with one
output and the *output activation* g_f squeezes that into the domain of f*. (The code calls V `D`, as in the
other scripts; its `F` is torch.nn.functional.) The bound is tight at T(x) = f'(p(x)/q(x)), so a trained T knows the
density ratio (for total_variation, whether it is above 1): a T(x) above f'(1) says "more data than samples here". (For
`gan` f'(1) is −log 2: V = 0, σ(V) = ½.) G then lowers the bound: formula (7), θ and ω being the weights of G and V,

    F(θ, ω) = E_P[g_f(V(x))] − E_Q[f*(g_f(V(x)))]           V: ascend F.   G: descend F.

(Section 3.2 proposes that G ascend E_Q[g_f(V(x))] in its place, as the non-saturating GAN does.)
Algorithm 1 does both *from the same old values*: a single forward pass of G and V serves both. The GAN
of Goodfellow et al. is the row `gan`: g_f = log σ, f*(t) = −log(1 − eᵗ). With D = σ(V), F is E log D + E log(1 − D).

What each divergence is known for, when Q can't match P exactly (section 2.5 of the paper; tests/test_fgan.py
fits one Gaussian to a mixture of two):
    kl, pearson_chi2       punish q ≈ 0 where p > 0: Q covers every mode (peak of p), and the gaps between them
    reverse_kl, neyman_chi2  punish q > 0 where p ≈ 0: Q prefers one mode that it can match (mode-seeking)
    jeffreys               kl + reverse_kl: both punishments
    jensen_shannon, gan, squared_hellinger, total_variation  bounded, however far apart P and Q are
    alpha                  from reverse_kl (α → 0) through 2·squared_hellinger (α = ½) to kl (α → 1) and beyond
    jensen_shannon_weighted  data weighted by π, samples by 1 − π
What all of them really did on MNIST is in docs/divergences.md, with numbers and pictures.

What to look for: `bound` in curves.png is F: it rises towards the divergence as V improves, and falls as G
improves. It is at f(1) when the two are alike: 0, but −log 4 for `gan`. T_real − T_fake
says how well V still tells them apart.

Departures from the paper's MNIST experiment (section 4 and its appendix)
                      the paper             here
    G                 100→1200→1200→784     z_dim→512→512→784: a third of the time per step
    G's output        sigmoid               tanh, for images in [−1, 1] as in the other scripts
    batch             4096                  64: many small steps win when time is short
    Adam              2e-4, β₁ 0.5          1e-3, β₁ 0: momentum makes the two players overshoot each other; β₂ 0.99
    G's objective     practical (3.2)       minimax: better here (docs/divergences.md)
    V's output        o, the last layer's   asinh o: o near 0, ±log|2o| far from it, so that the exponentials in the
                                            table grow only as fast as o; V can still take every value
    V's loss          −F                    −F + 0.01 E o²: where g_f is flat (total_variation, far from 0) F gives no
                                            gradient that leads V back, and this does (like the drift term of Karras
                                            et al. 2017, arXiv 1710.10196, which is on real images alone)
    V's start         scale 0.005           He initialisation (1502.01852), the last layer's near 0: without it kl and
                                            squared_hellinger fail
    samples from      G                     the exponential moving average of G's weights
The paper's own constants, with V's output and initial weights of this file, and G's tanh:
    python fgan.py --divergence kl --generator-objective practical --G-hidden 1200 --V-hidden 240 --z-dim 100 \
        --batch-size 4096 --lr 2e-4 --betas 0.5 0.999 --ema 0 --drift 0

Run it:     python fgan.py
            python fgan.py --divergence kl
Exercises:  docs/exercises.md
Measured (full MNIST, 10 seeds): ten classes every time, FID 16.8 ± 1.4; about two minutes on one core.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common


@dataclass(kw_only=True)
class Hyperparameters(common.Options):
    """Change a default here, or give it as a flag: python fgan.py --divergence kl."""

    # The game
    divergence: str = "gan"
    """f: total_variation, kl, reverse_kl, pearson_chi2, neyman_chi2, squared_hellinger, jeffreys, jensen_shannon,
    gan, alpha or jensen_shannon_weighted."""
    alpha: float = 0.5
    """α of the divergence alpha: any number but 0 and 1 (their limits are reverse_kl and kl)."""
    pi: float = 0.3
    """π of the divergence jensen_shannon_weighted, the weight of the data: in (0, 1)."""
    generator_objective: Literal["minimax", "practical"] = "minimax"
    """minimax: G minimises F itself, −E f*(g_f(V(G(z)))). practical: G maximises E g_f(V(G(z))) (section 3.2); with
    `gan` its gradient does not vanish while V wins. Here V never wins for long, and with `gan` minimax is better."""

    # The optimisation
    steps: int = 10_000
    """Updates of both players."""
    batch_size: int = 64
    """Images per update."""
    lr: float = 1e-3
    """Adam's learning rate for both players."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's β₁ (with momentum each player overshoots what the other has just changed) and β₂."""
    drift: float = 0.01
    """Weight in V's loss of E o², o being what V is the asinh of: it leads back from where g_f is flat. 0: none."""
    ema: float = 0.999
    """Decay of the exponential moving average of G's weights, from which the samples come; 0: G itself."""
    seed: int = 0
    """Of the weights, the noise and the choice of images."""

    # The networks
    network: Literal["mlp", "conv"] = "mlp"
    """mlp: the paper's pair for digits. conv: for colour and larger images (at the end of this file)."""
    z_dim: int = 64
    """Length of the noise z, each number from U(−1, 1)."""
    G_hidden: int = 512
    """mlp: units in each of G's two hidden layers."""
    V_hidden: int = 240
    """mlp: units in each of V's two hidden layers."""
    width: int = 32
    """conv: channels at the highest resolution; they double with every halving."""
    spectral_norm: bool = False
    """Divide V's weights by their largest singular value (Miyato et al. 2018, arXiv 1802.05957): for the
    divergences whose gradients have no bound, and for larger images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        common.require(
            self.divergence in DIVERGENCES, "--divergence", self.divergence, f"one of {', '.join(DIVERGENCES)}"
        )
        common.require(
            self.alpha not in (0, 1) and math.isfinite(self.alpha), "--alpha", self.alpha, "a number but 0 and 1"
        )
        common.require(0 < self.pi < 1, "--pi", self.pi, "in (0, 1)")
        common.require(0 <= self.drift < math.inf, "--drift", self.drift, "0 or more")
        for name in ("G_hidden", "V_hidden"):
            common.require(getattr(self, name) >= 1, common.flag(name), getattr(self, name), "at least 1")
        if self.network == "conv":
            size = self.image_size
            common.require(size % 2 ** stages(size) == 0, "--image-size", size, "5, 6, 7 or 8 times a power of 2")


# The networks.


class Generator(nn.Module):
    """z (N×z_dim) to images (N×C×H×W in [−1, 1])."""

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        self.shape = (hp.channels, hp.image_size, hp.image_size)
        self.net = conv_generator(hp) if hp.network == "conv" else mlp_generator(hp)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).float().view(-1, *self.shape)


class Discriminator(nn.Module):
    """V: images (N×C×H×W) to one unbounded number each (N); larger means more real.

    The asinh at its end lets V grow only with the logarithm of what the last layer makes.
    """

    def __init__(self, hp: Hyperparameters) -> None:
        super().__init__()
        self.net = conv_discriminator(hp) if hp.network == "conv" else mlp_discriminator(hp)
        self.apply(initialise)
        # V starts near 0, where every g_f and f* has a moderate slope (spectral norm undoes it)
        nn.init.normal_(self.net[-1].weight, std=1e-3)
        if hp.spectral_norm:
            for layer in self.net:
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    nn.utils.parametrizations.spectral_norm(layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).float().squeeze(1).asinh()


def mlp_generator(hp: Hyperparameters) -> nn.Sequential:
    h = hp.G_hidden
    return nn.Sequential(
        *(nn.Linear(hp.z_dim, h, bias=False), nn.BatchNorm1d(h), nn.ReLU()),
        *(nn.Linear(h, h, bias=False), nn.BatchNorm1d(h), nn.ReLU()),
        *(nn.Linear(h, hp.channels * hp.image_size**2), nn.Tanh()),
    )


def mlp_discriminator(hp: Hyperparameters) -> nn.Sequential:
    h = hp.V_hidden
    return nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(hp.channels * hp.image_size**2, h), nn.ELU()),
        *(nn.Linear(h, h), nn.ELU()),
        nn.Linear(h, 1),
    )


def initialise(module: nn.Module) -> None:
    """He initialisation for V: it keeps the size of a signal from layer to layer; PyTorch's default shrinks it."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)


# The table. Every g_f increases, so that a larger V always means "more real". (Printed tables that have
# e^{+v} for reverse_kl, neyman_chi2 and squared_hellinger decrease there.)


@dataclass(frozen=True)
class Divergence:
    """An f-divergence as the game needs it. Each function takes and returns tensors of any shape, elementwise.

    f:          f(u) for a density ratio u > 0; convex
    activation: g_f(v) for any v; increasing, with values in the domain of f*
    conjugate:  f*(t) = sup_u { u t − f(u) } for t in its domain
    composite:  f*(g_f(v)) for any v: the same as conjugate(activation(v)), in a numerically stable form
    """

    f: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    composite: Callable[[Tensor], Tensor]


def alpha_divergence(alpha: float) -> Divergence:
    """Amari's family, α ≠ 0, 1. For α < 1 f* ends at t = 1/(1 − α); for α > 1 it is constant below 1/(1 − α)."""
    exponent = alpha / (alpha - 1)

    def f(u: Tensor) -> Tensor:
        return (u**alpha - 1 - alpha * (u - 1)) / (alpha * (alpha - 1))

    def conjugate(t: Tensor) -> Tensor:
        return ((t * (alpha - 1) + 1).clamp(min=0) ** exponent - 1) / alpha

    if alpha > 1:
        return Divergence(f, lambda v: v, conjugate, conjugate)
    return Divergence(
        f,
        activation=lambda v: 1 / (1 - alpha) + F.logsigmoid(v),
        conjugate=conjugate,
        # t(α − 1) + 1 = (1 − α) softplus(−v), and its power is taken in logarithms
        composite=lambda v: torch.expm1(exponent * (math.log(1 - alpha) + log_softplus(-v))) / alpha,
    )


def weighted_jensen_shannon(pi: float) -> Divergence:
    """π KL(P‖M) + (1 − π) KL(Q‖M) with M = πP + (1 − π)Q, 0 < π < 1."""
    return Divergence(
        f=lambda u: pi * torch.xlogy(u, u) - torch.xlogy(1 - pi + pi * u, 1 - pi + pi * u),
        activation=lambda v: F.logsigmoid(v) - pi * math.log(pi),
        conjugate=lambda t: (1 - pi) * (math.log(1 - pi) - torch.log1p(-pi * torch.exp(t / pi))),
        composite=lambda v: (1 - pi) * (math.log(1 - pi) - log1mexp(F.logsigmoid(v) / pi)),
    )


def log_softplus(v: Tensor) -> Tensor:
    """log softplus(v); for v ≪ 0 softplus(v) is eᵛ."""
    return torch.where(v < -15, v, F.softplus(v.clamp(min=-15)).log())


def log1mexp(x: Tensor) -> Tensor:
    """log(1 − eˣ) for x < 0."""
    return torch.log(-torch.expm1(x))


def jeffreys_conjugate(t: Tensor) -> Tensor:
    """f*(t) = w + 1/w + t − 2 with w = W(e^{1−t}), Lambert's W: the solution of w eʷ = e^{1−t}.

    Solved for s = log w, where nothing overflows: eˢ + s = 1 − t. In it f* = e⁻ˢ − s − 1.
    """
    with torch.no_grad():
        s = torch.where(t < 0, (1 - t).clamp(min=1).log(), 1 - t)  # right of the solution: Newton falls onto it
        for _ in range(8):
            s = s - (s.exp() + s - (1 - t)) / (s.exp() + 1)
    s = s - (s.exp() + s - (1 - t)) / (s.exp() + 1)  # once more, with gradient: ds/dt = −1/(eˢ + 1)
    return torch.expm1(-s) - s


DIVERGENCES: dict[str, Divergence] = {
    "total_variation": Divergence(
        f=lambda u: (u - 1).abs() / 2,
        activation=lambda v: v.tanh() / 2,
        conjugate=lambda t: t,
        composite=lambda v: v.tanh() / 2,
    ),
    "kl": Divergence(
        f=lambda u: torch.xlogy(u, u),
        activation=lambda v: v,
        conjugate=lambda t: (t - 1).exp(),
        composite=lambda v: (v - 1).exp(),
    ),
    "reverse_kl": Divergence(
        f=lambda u: -u.log(),
        activation=lambda v: -(-v).exp(),
        conjugate=lambda t: -1 - (-t).log(),
        composite=lambda v: v - 1,
    ),
    "pearson_chi2": Divergence(
        f=lambda u: (u - 1) ** 2,
        activation=lambda v: v,
        conjugate=lambda t: torch.where(t < -2, -1.0, t**2 / 4 + t),  # below −2 the best u would be negative
        composite=lambda v: torch.where(v < -2, -1.0, v**2 / 4 + v),
    ),
    "neyman_chi2": Divergence(
        f=lambda u: (1 - u) ** 2 / u,
        activation=lambda v: -torch.expm1(-v),
        conjugate=lambda t: 2 - 2 * (1 - t).sqrt(),
        composite=lambda v: -2 * torch.expm1(-v / 2),
    ),
    "squared_hellinger": Divergence(
        f=lambda u: (u.sqrt() - 1) ** 2,
        activation=lambda v: -torch.expm1(-v),
        conjugate=lambda t: t / (1 - t),
        composite=torch.expm1,
    ),
    "jeffreys": Divergence(
        f=lambda u: (u - 1) * u.log(),
        activation=lambda v: v,
        conjugate=jeffreys_conjugate,
        composite=jeffreys_conjugate,
    ),
    "jensen_shannon": Divergence(  # twice the Jensen-Shannon divergence, as in the paper
        f=lambda u: torch.xlogy(u, u) - (u + 1) * ((u + 1) / 2).log(),
        activation=lambda v: math.log(2) + F.logsigmoid(v),
        conjugate=lambda t: -torch.log(2 - t.exp()),
        composite=lambda v: F.softplus(v) - math.log(2),
    ),
    "gan": Divergence(  # the same up to the constant log 4: f(1) = −log 4
        f=lambda u: torch.xlogy(u, u) - (u + 1) * (u + 1).log(),
        activation=F.logsigmoid,
        conjugate=lambda t: -log1mexp(t),
        composite=F.softplus,
    ),
    "alpha": alpha_divergence(0.5),
    "jensen_shannon_weighted": weighted_jensen_shannon(0.3),
}


def choose_divergence(hp: Hyperparameters) -> Divergence:
    """The row that hp.divergence names, with hp's α or π."""
    if hp.divergence == "alpha":
        return alpha_divergence(hp.alpha)
    if hp.divergence == "jensen_shannon_weighted":
        return weighted_jensen_shannon(hp.pi)
    return DIVERGENCES[hp.divergence]


# The losses.


def critic_loss(divergence: Divergence, v_real: Tensor, v_fake: Tensor) -> Tensor:
    """−F = E f*(g_f(V(G(z)))) − E g_f(V(x)), formula (7) with its sign changed. v_real, v_fake: V's outputs."""
    return divergence.composite(v_fake).mean() - divergence.activation(v_real).mean()


def drift(v: Tensor) -> Tensor:
    """E o² for V's outputs v = asinh o: next to nothing while V is small, steep where V is far from 0."""
    return v.sinh().square().mean()


def generator_loss(divergence: Divergence, v_fake: Tensor, objective: str = "minimax") -> Tensor:
    """minimax: −E f*(g_f(V(G(z)))), the part of F that G moves. practical: −E g_f(V(G(z))), section 3.2."""
    if objective == "practical":
        return -divergence.activation(v_fake).mean()
    return -divergence.composite(v_fake).mean()


def train(hp: Hyperparameters) -> common.Result:
    """Algorithm 1 of the paper, the single-step method."""
    run = common.Run(hp)
    hp = run.hp  # a copy that knows the size of the images
    divergence = choose_divergence(hp)
    G, D = Generator(hp).to(run.device), Discriminator(hp).to(run.device)
    ema = common.EMA(G, hp.ema)
    opt_G, opt_D = (torch.optim.Adam(net.parameters(), hp.lr, hp.betas, fused=True) for net in (G, D))

    for step in run.steps(G=G, D=D, G_ema=ema.network, opt_G=opt_G, opt_D=opt_D):
        x, fake = run.real(), G(run.noise())
        v = D(torch.cat([x, fake]))  # in one batch: V has no BatchNorm, so it judges each image by itself
        v_real, v_fake = v.chunk(2)
        loss_D = critic_loss(divergence, v_real, v_fake)
        loss_G = generator_loss(divergence, v_fake, hp.generator_objective)

        # Both gradients first, at the same old weights of both players. One pass through D serves both losses
        # (hence retain_graph); `inputs`: each loss gives gradients to its own player's weights only
        opt_D.zero_grad()
        (loss_D + hp.drift * drift(v)).backward(inputs=list(D.parameters()), retain_graph=True)
        common.average_gradients(D)
        opt_G.zero_grad()
        loss_G.backward(inputs=list(G.parameters()))
        common.average_gradients(G)

        # V: ascend F.  G: descend F (or its practical form)
        opt_D.step()
        opt_G.step()
        ema.update(step)

        T_real, T_fake = divergence.activation(v_real).mean(), divergence.activation(v_fake).mean()
        run.log(bound=-loss_D, loss_G=loss_G, T_real=T_real, T_fake=T_fake)
    return run.result()


# The convolutional pair (--network conv): strided convolutions as in wgan_gp.py, no fully connected hidden layer.


def stages(size: int) -> int:
    """How often a side of `size` pixels is halved until it is at most 8, once at least: 28 → 14 → 7, so 2."""
    return max(1, (size - 1).bit_length() - 3)


def conv_generator(hp: Hyperparameters) -> nn.Sequential:
    n = stages(hp.image_size)
    channels, small = hp.width << (n - 1), hp.image_size >> n
    layers: list[nn.Module] = [nn.Linear(hp.z_dim, channels * small**2, bias=False)]
    layers += [nn.Unflatten(1, (channels, small, small)), nn.BatchNorm2d(channels), nn.ReLU()]
    while channels > hp.width:
        layers += [nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(channels // 2), nn.ReLU()]
        channels //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels, hp.channels, 4, stride=2, padding=1), nn.Tanh())


def conv_discriminator(hp: Hyperparameters) -> nn.Sequential:
    n = stages(hp.image_size)
    widths = [hp.channels, *(hp.width << i for i in range(n))]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * (hp.image_size >> n) ** 2, 1))


if __name__ == "__main__":
    common.main(Hyperparameters, Generator, train)
