"""PyTorch's random numbers in a step as a function of (seed, step). Not here: the numbers, which common.py draws."""

import functools

import numpy as np
import torch


def seed_everything(seed: int, step: int) -> None:
    """From here on PyTorch's random numbers are a function of (seed, step); numpy's and Python's are not touched.

    Done before every step, so that a run can be stopped and resumed anywhere without keeping the
    state of a generator, and on any number of processes.
    """
    number = hundred_numbers(seed, step // 100)[step % 100]
    torch.default_generator.manual_seed(number)  # torch.manual_seed takes 0.1 ms, as it looks for every kind of device
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(number)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(number)


@functools.lru_cache(1)
def hundred_numbers(seed: int, block: int) -> list[int]:
    """What a hundred steps' generators start from: computed together, it takes an eighth of the time."""
    steps = range(100 * block, 100 * (block + 1))
    return [int(np.random.SeedSequence((seed, step)).generate_state(1)[0]) for step in steps]
