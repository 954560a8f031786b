"""dcgan.py, wgan.py, wgan_gp.py, fgan.py: how little they differ, their losses, and what each step touches."""

import ast
import difflib
import importlib
import re

import pytest
import torch
from conftest import ROOT
from torch import nn

import common
import dcgan
import fgan
import wgan
import wgan_gp
from training.earlier import load_generator, read_checkpoint

TWINS = (dcgan, wgan, wgan_gp, fgan)
each = pytest.mark.parametrize("script", TWINS, ids=lambda m: m.__name__)


def code_of(name: str) -> list[str]:
    """The lines of a script after its docstring."""
    text = (ROOT / name).read_text(encoding="utf-8")
    end = ast.parse(text).body[0].end_lineno
    return text.splitlines()[end:]


@pytest.mark.parametrize(("a", "b"), [("dcgan.py", "wgan.py"), ("wgan.py", "wgan_gp.py")])
def test_the_diff_is_the_lesson(a, b):
    changed = [line for line in difflib.unified_diff(code_of(a), code_of(b), n=0, lineterm="") if line[0] in "+-"][2:]
    assert len([line for line in changed if line[1:].strip()]) <= 58, "\n".join(changed)


def parts_of(name: str) -> dict[str, str]:
    """The source of every function and class of a script, by its name."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return {node.name: ast.get_source_segment(text, node) for node in found}


def test_from_dcgan_to_fgan_the_table_the_loss_and_the_step_differ():
    """The networks are dcgan.py's, but for the critic without BatchNorm and the first weights: those of wgan_gp.py."""
    dcgan_parts, wgan_gp_parts, fgan_parts = (parts_of(name) for name in ("dcgan.py", "wgan_gp.py", "fgan.py"))
    for name in ("stages", "Generator"):
        assert fgan_parts[name] == dcgan_parts[name]
    for name in ("stages", "Generator", "Discriminator", "initialise", "gradient_penalty"):
        assert fgan_parts[name] == wgan_gp_parts[name]
    code = code_of("fgan.py")
    first, last = (
        next(i for i, line in enumerate(code) if start in line) for start in ("class Divergence", "def critic_loss")
    )
    rest = code[: first - 1] + code[last:]  # but for the table
    changed = [line for line in difflib.unified_diff(code_of("dcgan.py"), rest, n=0, lineterm="") if line[0] in "+-"]
    assert len(changed[2:]) <= 100, "\n".join(changed)


def make(script, **changes):
    hp = script.Hyperparameters(**{"image_size": 28, "channels": 1, **changes})
    torch.manual_seed(0)
    return script.Generator(hp), script.Discriminator(hp), hp


@each
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3), (128, 1), (48, 1), (10, 3)])
def test_networks_at_every_size(script, size, channels):
    G, D, hp = make(script, image_size=size, channels=channels, width=4)
    images = G(common.noise(3, hp.z_dim))
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    assert D(images).shape == (3,)
    assert size >> script.stages(size) in (5, 6, 7, 8)


@each
def test_the_papers_guidelines(script):
    G, D, _ = make(script, image_size=64, width=32)
    first, last = G.net[0], G.net[-1]
    assert isinstance(last, nn.Tanh)
    assert not isinstance(D.net[1], nn.BatchNorm2d)
    assert not isinstance(G.net[-2], nn.BatchNorm2d)
    assert first.weight.std().item() == pytest.approx(0.02 if script is dcgan else 0.1, rel=0.05)
    slopes = [m.negative_slope for m in D.net if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * 3 + [-1.0 if script is wgan else 0.2]
    assert any(isinstance(m, nn.BatchNorm2d) for m in D.net) == (script is dcgan)


@pytest.mark.parametrize("script", [dcgan, wgan, wgan_gp])  # fgan.py's: tests/test_fgan.py
def test_losses_are_finite_at_large_outputs(script):
    loss_of_D = script.discriminator_loss if script is dcgan else script.critic_loss
    for value in (1e4, -1e4):
        v = torch.full((3,), value, requires_grad=True)
        for loss in (loss_of_D(v, -v), loss_of_D(-v, v), script.generator_loss(v)):
            (gradient,) = torch.autograd.grad(loss, v)
            assert loss.isfinite()
            assert gradient.isfinite().all()


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
    flags = ("--steps", 4, "--batch-size", 8, "--n-critic", 3, "--width", 8, "--hidden", 64)
    code, _, err = command_line(script.__name__, *flags)
    assert code == 0, err
    assert "".join(spy.order) == "DDDG" * 4


@pytest.mark.parametrize(("script", "steps"), [(dcgan, 250), (wgan, 60), (wgan_gp, 80), (fgan, 140)])
def test_short_training_learns(script, steps, command_line, tmp_path):
    """Soon the samples are nearer to digits than noise is: as little ink, none at the border."""
    module = importlib.import_module(script.__name__)
    flags = ("--steps", steps, "--width", 8, "--hidden", 128)
    code, _, err = command_line(script.__name__, *flags, "--ema", 0.9)
    assert code == 0, err
    checkpoint = read_checkpoint(tmp_path / "out" / script.__name__, script.__name__)
    G, hp = load_generator(checkpoint, module.Hyperparameters, module.Generator, torch.device("cpu"))
    images = common.generate(G, common.noise_from_seed(0, 200, hp.z_dim))
    ink = ((images + 1) / 2).mean((1, 2, 3))
    assert 0.05 < ink.mean() < 0.3  # MNIST: 0.13
    border = images[:, :, :3].mean().item()
    assert border < -0.85


def test_the_page_shows_the_files_as_they_are():
    blocks = re.findall(r"```diff\n(.*?)```", (ROOT / "docs/two-diffs.md").read_text(encoding="utf-8"), re.S)
    for block, (a, b) in zip(blocks, (("dcgan.py", "wgan.py"), ("wgan.py", "wgan_gp.py")), strict=True):
        for line in block.splitlines():
            times_in_a, times_in_b = (code_of(name).count(line[1:]) for name in (a, b))
            assert times_in_a > times_in_b if line[0] == "-" else times_in_a < times_in_b, line
