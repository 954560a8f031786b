"""Pixels to numbers and back."""

import torch

import common


def test_float_and_back():
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    values = common.to_float(every)
    assert values.min() == -1
    assert values.max() == 1
    assert torch.equal(common.to_uint8(values), every)
    assert common.to_uint8(torch.tensor([-5.0, 5.0])).tolist() == [0, 255]
