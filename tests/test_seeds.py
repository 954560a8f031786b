"""Every step has random numbers of its own."""

import torch

import common
from training import machine


def test_every_step_has_its_own_numbers_whatever_came_before():
    machine.seed_everything(1, 7)
    first = common.noise(4, 3)
    torch.rand(1000)
    machine.seed_everything(1, 7)
    assert torch.equal(common.noise(4, 3), first)
    others = []
    for seed, step in ((1, 8), (2, 7), (7, 1), (1, 107)):
        machine.seed_everything(seed, step)
        others.append(common.noise(4, 3))
    assert all(not torch.equal(first, other) for other in others)
    assert first.abs().max() <= 1
