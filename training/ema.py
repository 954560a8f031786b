"""The exponential moving average (EMA) of a network's weights."""

import copy

import torch
from torch import Tensor, nn


class EMA:
    """A copy of a network, `network`, whose weights follow the exponential mean of the original's.

    A GAN's players circle around the equilibrium; the mean over the last ~1/(1 − decay) steps is nearer to its
    centre than any single step (Yazıcı et al. 2018, arXiv 1806.04498). Decay 0: always the original's weights.
    """

    def __init__(self, original: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(original)
        self.decay = decay
        self.every = min(max(1, round(0.1 / (1 - decay))), 100)
        self.mean, self.now = weights(self.network), weights(original)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """To be called after each step of the original; `step` counts them from 1.

        The mean is brought up to date ten times in 1/(1 − decay) steps only (every tenth for 0.99; after 100 at
        the latest), which does as well at a fraction of the cost. Early on it is over no more than the last ninth of
        the run, for G improves quickly then; before the first such step it is the network itself.
        """
        count, rest = divmod(step, self.every)
        if rest == 0 or count == 0:
            decay = min(self.decay**self.every, count / (count + 9))
            torch._foreach_lerp_(self.mean, self.now, 1 - decay)  # mean ← decay·mean + (1 − decay)·now


def weights(network: nn.Module) -> list[Tensor]:
    """All that a network has learned: parameters and BatchNorm's statistics, but no counters.

    The mean of the statistics is not quite the statistics of the mean network; they are close.
    """
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
