"""ideas/began.py: W and the controller against closed forms, the errors against the lesson's loss."""

import functools
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

import common
from began import reconstruction_loss
from ideas import began


def test_W_of_two_sets_of_numbers():
    a, b = torch.randn(500), torch.rand(500)
    assert began.wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-5)
    assert began.wasserstein(a, a.flip(0) + 0.5) == pytest.approx(0.5, rel=1e-5)
    normal = torch.randn(100_000)
    assert began.wasserstein(normal, 2 * torch.randn(100_000)) == pytest.approx(math.sqrt(2 / math.pi), abs=0.02)
    assert began.wasserstein(a, b) >= (a.mean() - b.mean()).abs() - 1e-6  # the bound of the paper


@pytest.mark.parametrize("gain", began.GAINS)
def test_the_controller_follows_its_closed_form(gain):
    path = began.play_model(gain, 600)
    np.testing.assert_allclose(path, began.closed_form(gain, 600), atol=1e-5)
    assert path[0] == pytest.approx(began.K_BEFORE)
    assert path.min() > 0
    assert path.max() < 1  # the clip plays no part


def test_a_high_gain_swings_and_a_low_one_does_not():
    slow, quick = (began.overshoot(began.play_model(gain, 2000)) for gain in began.GAINS)
    strength = began.GAINS[1] * began.SLOPE * began.LAG
    assert began.GAINS[0] * began.SLOPE * began.LAG < 0.25 < strength
    damping = 1 / (2 * math.sqrt(strength))  # of k'' τ + k' + λ_k b k = 0, the same in continuous time
    assert quick == pytest.approx(math.exp(-math.pi * damping / math.sqrt(1 - damping**2)), abs=0.03)
    assert slow == 0
    for gain in began.GAINS:  # in the end the balance is γ again
        assert began.play_model(gain, 6000)[-1] == pytest.approx(began.K_AFTER, abs=1e-3)


@pytest.fixture
def digits(data_dir, monkeypatch):
    """The same digits as in the other tests."""
    monkeypatch.setattr(common, "load_images", functools.partial(common.load_images, data_dir=data_dir))


@pytest.mark.usefixtures("digits")
def test_the_errors_are_those_of_the_lesson():
    x, fake, D = began.train(seed=0, steps=100)
    for images in (x, fake):
        assert images.shape == (2000, 1, 28, 28)
        assert began.errors(D, images).mean().item() == pytest.approx(
            reconstruction_loss(D, images, 2).item(), rel=1e-4
        )
    a, b = began.errors(D, x), began.errors(D, fake)
    assert began.wasserstein(a, b) >= (a.mean() - b.mean()).abs() - 1e-6
    assert a.mean() < 0.5 * reconstruction_loss(lambda v: 0 * v - 1, x, 2)  # D has learned: far better than all black


@pytest.mark.usefixtures("digits")
def test_the_command_prints_its_table_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(began, "train", functools.partial(began.train, steps=2))
    monkeypatch.setattr(sys, "argv", ["began", "--seed", "3", "--out", str(tmp_path / "new")])
    began.main()
    assert "| k overshoots, λ_k = 0.1 | 37.0% | 37.0% |" in capsys.readouterr().out
    assert Image.open(tmp_path / "new" / "began.png").width > 1000
