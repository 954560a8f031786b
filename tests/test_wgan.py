"""wgan.py: losses and clipping."""

import pytest
import torch

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


def test_above_32_pixels_the_critic_does_not_enlarge_what_little_a_batch_differs_in():
    """Nearly the same image 64 times: how far D's answers lie apart, as a share of those to 64 different images."""
    torch.manual_seed(0)
    shares = {}
    for size in (28, 64):
        D = wgan.Discriminator(wgan.Hyperparameters(image_size=size, channels=1))
        for weight in D.parameters():
            weight.detach().clamp_(-0.05, 0.05)
        x = torch.rand(64, 1, size, size) * 2 - 1
        shares[size] = (D(x[:1] + 0.01 * torch.randn_like(x)).std() / D(x).std()).item()
    assert shares[64] < 0.05
    assert shares[28] > 0.1
