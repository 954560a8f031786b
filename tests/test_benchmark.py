"""The benchmark measures what it says: the scripts' own loops in three surroundings, and their operations."""

import importlib

import benchmark
import pytest
from conftest import SCRIPTS

import common


def test_a_loop_is_measured_in_a_process_of_its_own(data_dir):
    rates = benchmark.measure("fgan", ["loop"], benchmark.Options(data_dir=data_dir, steps=50, repeats=1))
    assert rates.keys() == {"loop"}
    assert len(rates["loop"]) == 1
    assert rates["loop"][0] > 0


@pytest.mark.parametrize("kind", ["loop", "bare", "textbook"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_what_stands_around_a_loop(script, kind, data_dir, monkeypatch):
    """The average and the log are part of the loop alone. Afterwards all is as it was."""
    kept = common.Run, common.frozen, common.keep_freed_memory, importlib.import_module(script).torch
    averaged, turns = [], []
    monkeypatch.setattr(common, "average_weights", lambda *arguments: averaged.append(arguments))
    monkeypatch.setattr(benchmark, "TURN", 5)

    class Parent:
        def send(self, seconds):
            turns.append(seconds)

        def recv(self):
            return len(turns) < 3

    benchmark.train_by_turns(Parent(), script, kind, benchmark.Options(data_dir=data_dir))
    assert len(turns) == 3
    assert all(seconds > 0 for seconds in turns)
    assert len(averaged) == (kind == "loop")  # after step 10; step 15 is the last
    assert (common.Run, common.frozen, common.keep_freed_memory, importlib.import_module(script).torch) == kept


def test_a_failed_training_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="has failed"):
        benchmark.measure("fgan", ["loop"], benchmark.Options(device="none", steps=50, repeats=1))


def test_operations_of_an_fgan_step(data_dir):
    """2·batch·inputs·outputs for each product: G runs forward, V forward on both halves of its batch."""
    G = [64 * 512, 512 * 512, 512 * 784]
    V = [784 * 240, 240 * 240, 240 * 1]
    forward = sum(G) * 64 + sum(V) * 128
    loss_D = (sum(V) + sum(V[1:])) * 128  # V's weights, and what flows between its layers
    loss_G = sum(V) * 128 + (sum(G) + sum(G[1:])) * 64  # through V to G's weights; none for z
    options = benchmark.Options(data_dir=data_dir)
    assert benchmark.flops_of_step("fgan", options) == 2 * (forward + loss_D + loss_G)
