"""Pixels to numbers and back."""

import torch

import common
from training import pictures


def test_float_and_back():
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    values = common.to_float(every)
    assert values.min() == -1
    assert values.max() == 1
    assert torch.equal(common.to_uint8(values), every)
    assert common.to_uint8(torch.tensor([-5.0, 5.0])).tolist() == [0, 255]


def test_no_frames_make_no_animation(tmp_path):
    pictures.save_animation([], tmp_path / "training.gif")
    assert not list(tmp_path.iterdir())
