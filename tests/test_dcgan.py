"""dcgan.py: its losses. What it shares with its twins is in test_twins.py."""

import math

import pytest
import torch
from torch import nn

import dcgan


def test_gan_losses_are_binary_cross_entropy():
    real, fake = torch.tensor([2.0, -1.0, 0.0]), torch.tensor([0.5, -3.0, 1.0])
    bce = nn.functional.binary_cross_entropy_with_logits
    expected = bce(real, torch.ones(3)) + bce(fake, torch.zeros(3))
    torch.testing.assert_close(dcgan.discriminator_loss(real, fake), expected)
    torch.testing.assert_close(dcgan.generator_loss(fake), bce(fake, torch.ones(3)))
    assert dcgan.discriminator_loss(torch.zeros(4), torch.zeros(4)).item() == pytest.approx(2 * math.log(2))
