"""dcgan.py, wgan.py, wgan_gp.py: how little they differ, their losses, and what each step touches."""

import ast
import difflib
import importlib
import math

import pytest
import torch
from conftest import ROOT
from torch import nn

import common
import dcgan
import wgan
import wgan_gp

TWINS = (dcgan, wgan, wgan_gp)
each = pytest.mark.parametrize("script", TWINS, ids=lambda m: m.__name__)


def code_of(name: str) -> list[str]:
    """The lines of a script after its docstring."""
    text = (ROOT / name).read_text()
    end = ast.parse(text).body[0].end_lineno
    return text.splitlines()[end:]


@pytest.mark.parametrize(("a", "b"), [("dcgan.py", "wgan.py"), ("wgan.py", "wgan_gp.py")])
def test_the_diff_is_the_lesson(a, b):
    changed = [line for line in difflib.unified_diff(code_of(a), code_of(b), n=0, lineterm="") if line[0] in "+-"][2:]
    assert len(changed) <= 30, "\n".join(changed)


def make(script, **changes):
    hp = script.Hyperparameters(**{"image_size": 28, "channels": 1, **changes})
    torch.manual_seed(0)
    return script.Generator(hp), script.Discriminator(hp), hp


@each
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3), (128, 1), (48, 1)])
def test_networks_at_every_size(script, size, channels):
    G, D, hp = make(script, image_size=size, channels=channels, width=4)
    images = G(common.noise(3, hp.z_dim))
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    assert D(images).shape == (3,)
    assert size >> script.stages(size) in (4, 5, 6, 7)


@each
def test_the_papers_guidelines(script):
    G, D, _ = make(script, image_size=64, width=32)
    first, last = G.net[0], G.net[-1]
    assert isinstance(last, nn.Tanh)
    assert not isinstance(D.net[1], nn.BatchNorm2d)
    assert not isinstance(G.net[-2], nn.BatchNorm2d)
    assert first.weight.std().item() == pytest.approx(0.02, rel=0.05)
    slopes = [m.negative_slope for m in D.net if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * 4
    assert any(isinstance(m, nn.BatchNorm2d) for m in D.net) == (script is not wgan_gp)


def test_gan_losses_are_binary_cross_entropy():
    real, fake = torch.tensor([2.0, -1.0, 0.0]), torch.tensor([0.5, -3.0, 1.0])
    bce = nn.functional.binary_cross_entropy_with_logits
    expected = bce(real, torch.ones(3)) + bce(fake, torch.zeros(3))
    torch.testing.assert_close(dcgan.discriminator_loss(real, fake), expected)
    torch.testing.assert_close(dcgan.generator_loss(fake), bce(fake, torch.ones(3)))
    assert dcgan.discriminator_loss(torch.zeros(4), torch.zeros(4)).item() == pytest.approx(2 * math.log(2))


def test_wasserstein_losses():
    real, fake = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.5, -3.0, 1.0])
    for script in (wgan, wgan_gp):
        assert script.critic_loss(real, fake).item() == pytest.approx(-0.5 - 0.5)
        assert script.generator_loss(fake).item() == pytest.approx(0.5)


@each
def test_losses_are_finite_at_large_outputs(script):
    loss_of_D = script.discriminator_loss if script is dcgan else script.critic_loss
    for value in (1e4, -1e4):
        v = torch.full((3,), value, requires_grad=True)
        for loss in (loss_of_D(v, -v), loss_of_D(-v, v), script.generator_loss(v)):
            (gradient,) = torch.autograd.grad(loss, v)
            assert loss.isfinite()
            assert gradient.isfinite().all()


class Linear(nn.Module):
    """f(x) = ⟨w, x⟩, whose gradient is w everywhere."""

    def __init__(self, shape) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(shape, dtype=torch.float64))
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach())
        return (x * self.w).flatten(1).sum(1)


def test_penalty_of_a_linear_critic_on_images_that_are_not_square():
    torch.manual_seed(0)
    D = Linear((3, 5, 7))
    x, fake = torch.randn(4, 3, 5, 7, dtype=torch.float64), torch.randn(4, 3, 5, 7, dtype=torch.float64)
    penalty, norm = wgan_gp.gradient_penalty(D, x, fake, torch.rand(4, 1, 1, 1, dtype=torch.float64))
    size = D.w.detach().norm()
    assert penalty.item() == pytest.approx((size.item() - 1) ** 2, rel=1e-12)
    assert norm.item() == pytest.approx(size.item(), rel=1e-12)
    penalty.backward()  # the second derivative: d(‖w‖ − 1)²/dw
    torch.testing.assert_close(D.w.grad, 2 * (size - 1) * D.w.detach() / size)


def test_penalty_against_finite_differences():
    """For a critic that is not linear: its gradient norm from central differences, image by image."""
    torch.manual_seed(0)
    D = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    x, fake, e = torch.randn(3, 1, 2, 3).double(), torch.randn(3, 1, 2, 3).double(), torch.rand(3, 1, 1, 1).double()
    between = (e * x + (1 - e) * fake).flatten(1)
    step = 1e-6 * torch.eye(6, dtype=torch.float64)
    slopes = torch.stack([(D(between + s) - D(between - s)) / 2e-6 for s in step], dim=1)
    expected = ((slopes.norm(dim=1) - 1) ** 2).mean().item()
    assert wgan_gp.gradient_penalty(D, x, fake, e)[0].item() == pytest.approx(expected, rel=1e-6)


def test_points_lie_on_the_segments_with_one_epsilon_per_image(data_dir, tmp_path):
    hp = wgan_gp.Hyperparameters(batch_size=16, data_dir=data_dir, out=str(tmp_path / "run"))
    run = common.Run(hp)
    epsilon = run.epsilon()
    assert epsilon.shape == (16, 1, 1, 1)
    assert epsilon.min() >= 0
    assert epsilon.max() <= 1
    assert epsilon.unique().numel() == 16
    D = Linear((1, 28, 28))
    x, fake = torch.randn(16, 1, 28, 28).double(), torch.randn(16, 1, 28, 28).double()
    wgan_gp.gradient_penalty(D, x, fake, epsilon)
    ratio = (D.seen[0] - fake) / (x - fake)
    torch.testing.assert_close(ratio, epsilon.double().expand_as(ratio), rtol=1e-4, atol=1e-4)


def test_the_penalty_builds_no_graph_through_G():
    G, D, hp = make(wgan_gp)
    with torch.no_grad():
        fake = G(common.noise(4, hp.z_dim))
    penalty, _ = wgan_gp.gradient_penalty(D, torch.randn(4, 1, 28, 28), fake, torch.rand(4, 1, 1, 1))
    penalty.backward()
    assert all(p.grad is None for p in G.parameters())
    assert any(p.grad.abs().sum() > 0 for p in D.parameters())


def test_a_critic_without_batchnorm_judges_each_image_by_itself():
    _, D, _ = make(wgan_gp)
    D.train()
    x = torch.randn(8, 1, 28, 28)
    torch.testing.assert_close(D(x)[:1], D(x[:1]))
    _, D, _ = make(dcgan)
    assert not torch.allclose(D(x)[:1], D(x[:2])[:1])  # with BatchNorm it does not


class Spy:
    """Looks at a training from inside: the optimizers' steps, in order, and what they find and leave."""

    def __init__(self, script, monkeypatch, check) -> None:
        self.order = []
        real_steps = common.Run.steps

        def steps(run, **parts):
            for name in ("opt_G", "opt_D"):
                optimizer = parts[name]
                monkeypatch.setattr(optimizer, "step", self.wrap(name, optimizer.step, parts, check))
            yield from real_steps(run, **parts)

        monkeypatch.setattr(common.Run, "steps", steps)

    def wrap(self, name, step, parts, check):
        def wrapped(*arguments, **keywords):
            before = {k: [p.detach().clone() for p in parts[k].parameters()] for k in "GD"}
            result = step(*arguments, **keywords)
            self.order.append(name[-1])
            other = "D" if name == "opt_G" else "G"
            assert all(torch.equal(a, b) for a, b in zip(before[other], parts[other].parameters()))
            assert any(not torch.equal(a, b) for a, b in zip(before[name[-1]], parts[name[-1]].parameters()))
            check(self, name, parts)
            return result

        return wrapped


@each
def test_what_each_step_touches(script, command_line, monkeypatch):
    def check(spy, name, parts):
        if name == "opt_D" and "G" not in spy.order:
            assert all(p.grad is None for p in parts["G"].parameters())  # D's step makes no gradient for G
        if name == "opt_D":
            spy.gradients = [p.grad.clone() for p in parts["D"].parameters()]
        else:
            after = [p.grad for p in parts["D"].parameters()]
            assert all(torch.equal(a, b) for a, b in zip(spy.gradients, after))  # nor G's step for D

    spy = Spy(script, monkeypatch, check)
    flags = ("--steps", 4, "--batch-size", 8, "--n-critic", 3)
    code, _, err = command_line(script.__name__, *flags)
    assert code == 0, err
    assert "".join(spy.order) == "DDDG" * 4


def test_every_weight_of_the_critic_is_clipped_after_every_step(command_line, monkeypatch):
    c, seen = 0.013, []
    real_noise = common.Run.noise

    def noise(run):  # called before every forward pass, so after every critic step but the last
        if hasattr(run, "parts"):
            seen.append(max(p.abs().max().item() for p in run.parts["D"].parameters()))
        return real_noise(run)

    monkeypatch.setattr(common.Run, "noise", noise)
    code, _, err = command_line("wgan", "--steps", 5, "--n-critic", 2, "--c", c, "--lr", 0.01, "--batch-size", 8)
    assert code == 0, err
    assert len(seen) == 15
    assert all(value <= c + 1e-8 for value in seen[1:])
    assert max(seen[1:]) == pytest.approx(c)  # and the clip is reached


@each
def test_short_training_learns(script, command_line, tmp_path):
    """After 150 steps the samples are nearer to digits than noise is: mean ink and its spread."""
    module = importlib.import_module(script.__name__)
    code, _, err = command_line(script.__name__, "--steps", 150, "--average", 0)
    assert code == 0, err
    checkpoint = common.read_checkpoint(tmp_path / "out" / script.__name__, script.__name__, "cpu")
    G, hp = common.load_generator(checkpoint, module.Hyperparameters, module.Generator, torch.device("cpu"))
    images = common.generate(G, common.noise_from_seed(0, 200, hp.z_dim))
    ink = ((images + 1) / 2).mean((1, 2, 3))
    assert 0.05 < ink.mean() < 0.3  # MNIST: 0.13
    border = images[:, :, :3].mean().item()
    assert border < -0.85
