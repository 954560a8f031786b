"""The benchmark measures what it says: the scripts' own loops in three surroundings, and their operations."""

import benchmark
import pytest
from conftest import SCRIPTS

import common


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_kind_of_loop_runs_and_leaves_nothing_behind(script, data_dir, monkeypatch):
    kept = common.Run, common.frozen, common.keep_freed_memory
    averaged = []
    monkeypatch.setattr(common, "average_weights", lambda *arguments: averaged.append(arguments))
    options = benchmark.Options(data_dir=data_dir)
    for kind in ("loop", "bare", "textbook"):
        averaged.clear()
        assert benchmark.time_steps(script, kind, options, 12) > 0
        assert len(benchmark.Loop.times) == 13
        assert len(averaged) == (kind == "loop")  # at step 10
    assert (common.Run, common.frozen, common.keep_freed_memory) == kept


def test_operations_of_an_fgan_step(data_dir):
    """2·batch·inputs·outputs for each product: G runs forward, V forward on both halves of its batch."""
    G = [64 * 512, 512 * 512, 512 * 784]
    V = [784 * 240, 240 * 240, 240 * 1]
    forward = sum(G) * 64 + sum(V) * 128
    loss_D = (sum(V) + sum(V[1:])) * 128  # V's weights, and what flows between its layers
    loss_G = sum(V) * 128 + (sum(G) + sum(G[1:])) * 64  # through V to G's weights; none for z
    options = benchmark.Options(data_dir=data_dir)
    assert benchmark.flops_of_step("fgan", options) == 2 * (forward + loss_D + loss_G)
