"""wgan.py: losses, clipping, and a critic whose estimate grows with the distance of the images."""

import pytest
import torch
from torch import nn, optim

import common
import wgan
import wgan_gp


def test_every_weight_of_the_critic_is_clipped_after_every_step(command_line, monkeypatch):
    c, seen = 0.013, []
    real_noise = common.Run.noise

    def noise(run):  # called before every forward pass, so after every critic step but the last
        if run.parts:
            seen.append(max(p.abs().max().item() for p in run.parts["D"].parameters()))
        return real_noise(run)

    monkeypatch.setattr(common.Run, "noise", noise)
    code, _, err = command_line("wgan", "--steps", 5, "--n-critic", 2, "--c", c, "--lr-D", 0.01, "--batch-size", 8)
    assert code == 0, err
    assert len(seen) == 15
    assert all(value <= c + 1e-8 for value in seen[1:])
    assert max(seen[1:]) == pytest.approx(c)  # and the clip is reached


def test_wasserstein_losses():
    real, fake = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.5, -3.0, 1.0])
    for script in (wgan, wgan_gp):
        assert script.critic_loss(real, fake).item() == pytest.approx(-0.5 - 0.5)
        assert script.generator_loss(fake).item() == pytest.approx(0.5)


def test_real_and_generated_images_meet_the_same_function():
    """D's answer to an image does not depend on the other generated ones, nor on whether it counts as real."""
    torch.manual_seed(0)
    D = wgan.Discriminator(wgan.Hyperparameters(image_size=28, channels=1, width=4, hidden=16))
    x, fake = torch.rand(8, 1, 28, 28), torch.rand(8, 1, 28, 28)
    d_real = D.train()(x)
    D.eval()
    torch.testing.assert_close(D(x), d_real)
    torch.testing.assert_close(D(fake)[:1], D(fake[:1]))


def estimate(D: nn.Module, grey: float, steps: int = 60) -> float:
    """`wasserstein` after some updates of D; the data are of one grey level with a little noise, samples are at 0."""
    hp = wgan.Hyperparameters
    opt_D = optim.RMSprop(D.parameters(), hp.lr_D, hp.decay)
    for _ in range(steps):
        x, fake = (level + 0.05 * torch.randn(32, 1, 28, 28) for level in (grey, 0.0))
        d_real, d_fake = D.train()(x), D.eval()(fake)
        opt_D.zero_grad()
        wgan.critic_loss(d_real, d_fake).backward()
        opt_D.step()
        wgan.clip_weights(D, hp.c)
    return (d_real - d_fake).mean().item()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_estimate_grows_with_the_distance(seed):
    found = []
    for grey in (0.1, 0.25, 0.5, 0.9):
        torch.manual_seed(seed)
        D = wgan.Discriminator(wgan.Hyperparameters(image_size=28, channels=1, width=8, hidden=64))
        found.append(estimate(D, grey))
    assert found == sorted(found)
    assert found[1] > 1.5 * found[0]
    assert found[3] > 4 * found[0]


def test_a_c_so_small_that_the_estimate_underflows_is_said(command_line, tmp_path):
    flags = ("--steps", 2, "--batch-size", 8, "--width", 4, "--hidden", 16, "--log-every", 1)
    assert "loss_D was smaller than 1e-12" in command_line("wgan", *flags, "--c", 1e-9)[1]
    assert "loss_D was smaller" not in command_line("wgan", *flags)[1]
