r"""f-GAN: the GAN game for any f-divergence, from one table.

Nowozin, Cseke, Tomioka 2016, *f-GAN: Training Generative Neural Samplers using Variational Divergence
Minimization*, https://arxiv.org/abs/1606.00709

An example: f(u) = u log u, the row `kl`. Where data are twice as dense as samples, u = 2 and f(u) is 1.39.
The slope log u + 1 is t at u = e^{t−1}; the tangent there is u t − e^{t−1}, nowhere above f. At u = 2 that
with t = 1 has the height 1.00, that with t = f'(2) = 1.69 the height 1.39. So the best t gives f(u). With u =
p(x)/q(x), the densities of the data P and of the samples Q (q > 0 where p > 0):

    D_f(P‖Q) = E_Q[f(u)] ≥ f(1)                        f convex (Jensen); f(1) = 0 in each row but `gan`
    f*(t)    = sup_u { u t − f(u) }                    the *conjugate*: u t − f*(t) is the tangent
    f(u)     = sup_t { u t − f*(t) }                   a convex f is the supremum of its tangents
    D_f(P‖Q) = E_Q[sup_t { u t − f*(t) }]              put in: the best slope t at each x
             ≥ sup_T { E_P[T(x)] − E_Q[f*(T(x))] }     as E_Q[u T] = E_P[T]; T of some class: a bound

The last line needs only samples, so a network can maximise it: T = g_f(V(x)), V any network; the *output
activation* g_f leads into the domain of f*. The best T is f'(p/q). G lowers F,

    F(θ, ω) = E_P[g_f(V(x))] − E_Q[f*(g_f(V(x)))]      (7); θ, ω: weights of G, V.  V: ascend F. G: descend F.

Row `gan`: g_f is log σ, f*(g_f(v)) is −log(1 − σ(v)), so F is the game of dcgan.py with D = σ(V). Section 3.2
proposes that G ascend E_Q[g_f(V(x))], as there. A sample's weight is then g_f'(v), not (f*∘g_f)'(v): for
`gan` 1 − σ(v), not σ(v), so most where V says "generated". With the best V, `kl` lowers KL(Q‖P).

**V is K-Lipschitz.** Images of data and samples hardly overlap: D_f is as large as it can be (or infinite),
and the best V has no slope that would teach G. So the network D is kept near 1-Lipschitz by the penalty of
wgan_gp.py, and V = asinh(K·D), which is K·D near 0 and ±log|2K·D| far from it. So e^V (in row `kl`) grows
only as D, the penalty as its slope squared. (alpha: as D^{α/(1−α)} for α in (½, 1), from 0.65 too fast.) The
bound is then a divergence of its own (see arXiv 2011.05953); for small K near f(1) + const·K·W, W of wgan.py.
So with K = 0.2 the rows draw much alike; with a large K each is itself, but hard to train. --K is the dial.

What a row is known for when Q can't match P (more: docs/divergences.md). See it: python -m ideas.fgan
    kl, pearson_chi2         punish q ≈ 0 where p > 0: Q covers all modes (peaks of p) and the gaps between
    reverse_kl, neyman_chi2  punish q > 0 where p ≈ 0: Q prefers one mode that it can match (mode-seeking)
    alpha                    from reverse_kl (α → 0) to kl (α → 1) and beyond. (jeffreys: kl + reverse_kl)
What to look for: `bound` in curves.png is F; at f(1) (0, but −log 4 for `gan`) V can't tell the two apart.

Departures from the paper's MNIST experiment (section 4 and its appendix)
                      the paper             here
    G, V              fully connected       G of dcgan.py; V = asinh(K·D), K 0.2, D and penalty of wgan_gp.py
    steps             both players at once  V, then G: digits appear much earlier (docs/LOG.md)
    G's objective     practical (3.2)       minimax: it lowers the bound; for small K no weight vanishes
    batch, Adam       4096; 2e-4, β₁ 0.5    64; 2e-3, β₁ 0, as wgan_gp.py; samples from the EMA of G
The paper's own constants, on these networks, with V = asinh(D), V first:
    python fgan.py --divergence kl --generator-objective practical --z-dim 100 --batch-size 4096 --lr-G 2e-4 \
        --lr-D 2e-4 --betas 0.5 0.999 --ema 0 --K 1 --lambda-gp 0

Run it:     python fgan.py --divergence kl
Compare:    python -m benchmarks.diff dcgan fgan; python -m benchmarks.diff wgan_gp fgan
Exercises:  docs/exercises.md
Measured (full MNIST, ten seeds of `gan`): ten classes every time, FID 6.5 ± 0.8 by our own small classifier.
The other ten rows, three seeds each: ten classes every time, FID 5.5 to 9.9.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn, optim
from torch.nn.functional import logsigmoid, softplus

import common


@dataclass(kw_only=True)
class Hyperparameters(common.Options):
    """Change a default here, or give it as a flag: python FILE --divergence kl."""

    # The game
    n_critic: int = 1
    """Updates of D per update of G."""
    divergence: str = "gan"
    """f: total_variation, kl, reverse_kl, pearson_chi2, neyman_chi2, squared_hellinger, jeffreys, jensen_shannon,
    gan, alpha or jensen_shannon_weighted."""
    alpha: float = 0.5
    """α of the divergence alpha: not 0 or 1 (their limits are reverse_kl and kl), nor in about (0.65, 1)."""
    pi: float = 0.3
    """π of the divergence jensen_shannon_weighted, the weight of the data: in (0, 1)."""
    generator_objective: Literal["minimax", "practical"] = "minimax"
    """minimax: G lowers F. practical: G raises E g_f(V(G(z))), which lowers another divergence (section 3.2)."""
    K: float = 0.2
    """V = asinh(K·D): V is K-Lipschitz where D is 1-Lipschitz."""
    lambda_gp: float = 1.0
    """λ, the weight of the gradient penalty on D."""

    # The optimisation
    steps: int = 2500
    """Updates of G in all."""
    batch_size: int = 64
    """m, images per update."""
    lr_G: float = 2e-3
    """Adam's learning rate for G."""
    lr_D: float = 2e-3
    """The same for D."""
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
        common.require(self.divergence in DIVERGENCES, "--divergence", self.divergence, " or ".join(DIVERGENCES))
        common.require(0 < abs(self.alpha * (1 - self.alpha)) < math.inf, "--alpha", self.alpha, "a number but 0 and 1")
        common.require(0 < self.pi < 1, "--pi", self.pi, "in (0, 1)")
        common.require(0 < self.K < math.inf, "--K", self.K, "above 0")
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


@dataclass(frozen=True)
class Divergence:
    """A row of the table: functions of tensors, elementwise. Every g_f increases: a larger V means "more real"."""

    f: Callable[[Tensor], Tensor]  # f(u) for a density ratio u > 0; convex
    activation: Callable[[Tensor], Tensor]  # g_f(v) for any v; increasing, with values in the domain of f*
    conjugate: Callable[[Tensor], Tensor]  # f*(t) = sup_u { u t − f(u) } for t in its domain
    composite: Callable[[Tensor], Tensor]  # f*(g_f(v)) for any v, in a numerically stable form


def alpha_divergence(a: float) -> Divergence:
    """Amari's family, α ≠ 0, 1. For α < 1 f* ends at t = 1/(1 − α); for α > 1 it is constant below 1/(1 − α)."""
    power = a / (a - 1)

    def conjugate(t: Tensor) -> Tensor:
        return ((t * (a - 1) + 1).clamp(min=0) ** power - 1) / a

    def composite(v: Tensor) -> Tensor:  # t(α − 1) + 1 = (1 − α) softplus(−v), and its power is taken in logarithms
        log_softplus = torch.where(v > 15, -v, softplus((-v).clamp(min=-15)).log())  # softplus(−v) → e⁻ᵛ
        return torch.expm1(power * (math.log(1 - a) + log_softplus)) / a

    activation = (lambda v: v) if a > 1 else (lambda v: 1 / (1 - a) + logsigmoid(v))
    stable = conjugate if a > 1 else composite
    return Divergence(lambda u: (u**a - 1 - a * (u - 1)) / (a * (a - 1)), activation, conjugate, stable)


def weighted_jensen_shannon(pi: float) -> Divergence:
    """π KL(P‖M) + (1 − π) KL(Q‖M) with M = πP + (1 − π)Q, 0 < π < 1."""
    return Divergence(
        lambda u: pi * torch.xlogy(u, u) - torch.xlogy(1 - pi + pi * u, 1 - pi + pi * u),
        lambda v: logsigmoid(v) - pi * math.log(pi),
        lambda t: (1 - pi) * (math.log(1 - pi) - torch.log1p(-pi * torch.exp(t / pi))),
        lambda v: (1 - pi) * (math.log(1 - pi) - torch.log(-torch.expm1(logsigmoid(v) / pi))),
    )


def jeffreys_conjugate(t: Tensor) -> Tensor:
    """f*(t) = w + 1/w + t − 2, w = 1/u, w eʷ = e^{1−t} (Lambert). s = log w: eˢ + s = 1 − t, f* = e⁻ˢ − s − 1."""
    with torch.no_grad():
        s = torch.where(t < 0, (1 - t).clamp(min=1).log(), 1 - t)  # right of the solution: Newton falls onto it
        for _ in range(8):
            s = s - (s.exp() + s - (1 - t)) / (s.exp() + 1)
    s = s - (s.exp() + s - (1 - t)) / (s.exp() + 1)  # once more, with gradient: ds/dt = −1/(eˢ + 1)
    return torch.expm1(-s) - s


# fmt: off
DIVERGENCES: dict[str, Divergence] = {  # f(u), g_f(v), f*(t), f*(g_f(v))
    "total_variation": Divergence(
        lambda u: (u - 1).abs() / 2, lambda v: v.tanh() / 2, lambda t: t, lambda v: v.tanh() / 2),
    "kl": Divergence(lambda u: torch.xlogy(u, u), lambda v: v, lambda t: (t - 1).exp(), lambda v: (v - 1).exp()),
    "reverse_kl": Divergence(lambda u: -u.log(), lambda v: -(-v).exp(), lambda t: -1 - (-t).log(), lambda v: v - 1),
    "pearson_chi2": Divergence(  # ∫(p−q)²/q (some tables call ∫(q−p)²/p Pearson); for t < −2 the best u is 0
        lambda u: (u - 1) ** 2, lambda v: v, *2 * [lambda t: torch.where(t < -2, -1.0, t**2 / 4 + t)]),
    "neyman_chi2": Divergence(lambda u: (1 - u) ** 2 / u, lambda v: -torch.expm1(-v),
        lambda t: 2 - 2 * (1 - t).sqrt(), lambda v: -2 * torch.expm1(-v / 2)),
    "squared_hellinger": Divergence(
        lambda u: (u.sqrt() - 1) ** 2, lambda v: -torch.expm1(-v), lambda t: t / (1 - t), torch.expm1),
    "jeffreys": Divergence(lambda u: (u - 1) * u.log(), lambda v: v, jeffreys_conjugate, jeffreys_conjugate),
    "jensen_shannon": Divergence(  # twice the Jensen-Shannon divergence, as in the paper; `gan` is the same less log 4
        lambda u: torch.xlogy(u, u) - (u + 1) * ((u + 1) / 2).log(), lambda v: math.log(2) + logsigmoid(v),
        lambda t: -torch.log(2 - t.exp()), lambda v: softplus(v) - math.log(2)),
    "gan": Divergence(lambda u: torch.xlogy(u, u) - (u + 1) * (u + 1).log(), logsigmoid,
        lambda t: -torch.log(-torch.expm1(t)), softplus),
    "alpha": alpha_divergence(0.5),
    "jensen_shannon_weighted": weighted_jensen_shannon(0.3),
}
# fmt: on


def choose_divergence(hp: Hyperparameters) -> Divergence:
    """The row that hp.divergence names, with hp's α or π."""
    if hp.divergence == "alpha":
        return alpha_divergence(hp.alpha)
    return weighted_jensen_shannon(hp.pi) if "weighted" in hp.divergence else DIVERGENCES[hp.divergence]


def critic_loss(row: Divergence, v_real: Tensor, v_fake: Tensor) -> Tensor:
    """−F = E f*(g_f(V(G(z)))) − E g_f(V(x)), formula (7) with its sign changed, from V's outputs."""
    return row.composite(v_fake).mean() - row.activation(v_real).mean()


def generator_loss(row: Divergence, v_fake: Tensor, objective: str = "minimax") -> Tensor:
    """minimax: −E f*(g_f(V(G(z)))), the part of F that G moves. practical: −E g_f(V(G(z)))."""
    return -(row.activation if objective == "practical" else row.composite)(v_fake).mean()


def gradient_penalty(D: nn.Module, x: Tensor, fake: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """E (‖∇D(x̂)‖₂ − 1)² and E ‖∇D(x̂)‖₂ at x̂ = ε x + (1 − ε) G(z), with one ε per sample: N×1×1×1."""
    x_hat = (epsilon * x + (1 - epsilon) * fake).requires_grad_()
    norm = torch.autograd.grad(D(x_hat).sum(), x_hat, create_graph=True)[0].flatten(1).norm(dim=1)
    return ((norm - 1) ** 2).mean(), norm.mean()


def train(hp: Hyperparameters) -> common.Result:
    """Algorithm 1 of the paper, but V moves first and G after it."""
    run = common.Run(hp)
    hp = run.hp  # a copy that knows the size of the images
    row = choose_divergence(hp)
    if (start := row.composite(torch.zeros(())).item()) > 20:
        common.say(f"f*(g_f(0)) is {start:.3g}: V's loss is too steep for the penalty; take α 0.65 or less, or above 1")
    G, D = Generator(hp).to(run.device), Discriminator(hp).to(run.device)
    ema = common.EMA(G, hp.ema)
    opt_G, opt_D = (optim.Adam(net.parameters(), lr, hp.betas, fused=True) for net, lr in ((G, hp.lr_G), (D, hp.lr_D)))

    # run.steps writes checkpoints of what is named here, and draws the samples by G_ema
    for step in run.steps(G=G, D=D, G_ema=ema.network, opt_G=opt_G, opt_D=opt_D):
        # V = asinh(K·D): ascend F(θ, ω), while D is kept near 1-Lipschitz
        for _ in range(hp.n_critic):
            x = run.real()
            with torch.no_grad():  # G only serves here; it learns below
                fake = G(run.noise())
            v_real, v_fake = (hp.K * D(x)).asinh(), (hp.K * D(fake)).asinh()
            loss_D = critic_loss(row, v_real, v_fake)
            penalty, norm = gradient_penalty(D, x, fake, run.epsilon())
            opt_D.zero_grad()
            (loss_D + hp.lambda_gp * penalty).backward()
            common.average_gradients(D)  # over the processes, if there are several
            opt_D.step()

        # G: descend F(θ, ω) (or its practical form)
        loss_G = generator_loss(row, (hp.K * D(G(run.noise()))).asinh(), hp.generator_objective)
        opt_G.zero_grad()
        loss_G.backward(inputs=list(G.parameters()))  # through D to G; D's weights get no gradients
        common.average_gradients(G)
        opt_G.step()
        ema.update(step)

        T_real, T_fake = row.activation(v_real).mean(), row.activation(v_fake).mean()
        run.log(bound=-loss_D, loss_G=loss_G, T_real=T_real, T_fake=T_fake, gradient_norm=norm)
    return run.result()


if __name__ == "__main__":
    common.main(Hyperparameters, Generator, train)
