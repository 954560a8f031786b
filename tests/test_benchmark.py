"""The benchmark measures what it says: the scripts' own loops in three surroundings, and their operations."""

import contextlib
import importlib
import threading

import benchmark
import pytest

import common


@pytest.mark.parametrize("script", ["began", "wgan"])
def test_every_kind_of_loop_advances_by_turns_and_leaves_nothing_behind(script, data_dir, monkeypatch):
    kept = common.Run, common.frozen, common.keep_freed_memory, importlib.import_module(script).torch
    averaged = []
    monkeypatch.setattr(common, "average_weights", lambda *arguments: averaged.append(arguments))
    monkeypatch.setattr(benchmark, "TURN", 10)
    options = benchmark.Options(data_dir=data_dir, steps=20)
    with contextlib.closing(benchmark.rates(script, ["loop", "bare"], options)) as measurements:
        assert all(rate > 0 for rate in next(measurements).values())
    assert len(averaged) == 2  # of the loop's 30 steps: after 10 and 20, and after 30 it waits before that
    assert benchmark.textbook_rate(script, options) > 0
    assert len(averaged) == 2
    assert (common.Run, common.frozen, common.keep_freed_memory, importlib.import_module(script).torch) == kept
    assert not any(isinstance(thread, benchmark.Training) for thread in threading.enumerate())


def test_an_error_in_a_measured_training_is_raised(data_dir, monkeypatch):
    monkeypatch.setattr("fgan.critic_loss", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(benchmark.rates("fgan", ["loop"], benchmark.Options(data_dir=data_dir)))


def test_operations_of_an_fgan_step(data_dir):
    """2·batch·inputs·outputs for each product: G runs forward, V forward on both halves of its batch."""
    G = [64 * 512, 512 * 512, 512 * 784]
    V = [784 * 240, 240 * 240, 240 * 1]
    forward = sum(G) * 64 + sum(V) * 128
    loss_D = (sum(V) + sum(V[1:])) * 128  # V's weights, and what flows between its layers
    loss_G = sum(V) * 128 + (sum(G) + sum(G[1:])) * 64  # through V to G's weights; none for z
    options = benchmark.Options(data_dir=data_dir)
    assert benchmark.flops_of_step("fgan", options) == 2 * (forward + loss_D + loss_G)
