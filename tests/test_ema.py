"""The exponential moving average, by hand and in a run."""

import pytest
import torch
from conftest import TINY
from torch import nn

from training.earlier import read_checkpoint
from training.ema import EMA


def test_it_is_the_exponential_mean():
    G = nn.BatchNorm1d(3)
    ema = EMA(G, 0.9)  # follows every step
    with torch.no_grad():
        G.weight.fill_(2.0)
        G.running_mean.fill_(10.0)
    for step in range(1000, 1003):  # late in a run, where the decay is the whole one
        ema.update(step)
    assert torch.allclose(ema.network.weight, torch.full((3,), 2 - 0.9**3))
    assert torch.allclose(ema.network.running_mean, torch.full((3,), 10 * (1 - 0.9**3)))
    assert ema.network.num_batches_tracked == 0
    assert torch.equal(G.weight, torch.full((3,), 2.0))


def test_decay_0_is_the_network_itself():
    G = nn.Linear(2, 2)
    ema = EMA(G, 0.0)
    for step in (1, 2, 3):
        nn.init.normal_(G.weight)
        ema.update(step)
        assert torch.equal(ema.network.weight, G.weight)


@pytest.mark.parametrize(("decay", "every"), [(0.0, 1), (0.9, 1), (0.95, 2), (0.99, 10), (0.99999, 100)])
def test_it_follows_every_few_steps(decay, every, monkeypatch):
    """Every 0.1/(1 − decay) steps, with the decay of as many, or less at the start of a run; before, all steps."""
    seen = []
    monkeypatch.setattr(torch, "_foreach_lerp_", lambda mean, now, weight: seen.append(1 - weight))
    ema = EMA(nn.Linear(1, 1), decay)
    for step in range(1, 2 * every + 20):
        ema.update(step)
    later = [min(decay**every, i / (i + 9)) for i in range(1, (2 * every + 19) // every + 1)]
    assert seen == pytest.approx([0.0] * (every - 1) + later)


def test_a_short_run_shows_what_it_has_learned():
    G = nn.Linear(2, 2)
    ema = EMA(G, 0.9999)
    nn.init.normal_(G.weight)
    ema.update(1)
    assert torch.equal(ema.network.weight, G.weight)


def test_a_run_keeps_it(command_line, tmp_path):
    code, _, err = command_line("dcgan", *TINY, "--ema", 0)
    assert code == 0, err
    networks = read_checkpoint(tmp_path / "out/dcgan", "dcgan")["networks"]
    pairs = [(a, networks["G"][name]) for name, a in networks["G_ema"].items() if a.is_floating_point()]
    assert pairs
    assert all(torch.equal(a, b) for a, b in pairs)
