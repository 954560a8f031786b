"""Parts of fgan and plane: small networks side by side, two Gaussians on a line, a ring of eight, a moving picture."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import to_rgb
from PIL import Image
from torch import Tensor, nn

from training.files import write_by

SHARES, MEANS, SIGMAS = (torch.tensor(numbers) for numbers in ((0.7, 0.3), (-1.0, 1.6), (0.5, 0.6)))  # of the mixture
RADIUS = 2.0  # of the ring


class Networks(nn.Module):
    """`count` small networks side by side, all with the same first weights: count×N×inputs to count×N×outputs."""

    def __init__(self, count: int, *sizes: int, last: float = 1, activation: Callable = torch.tanh) -> None:
        """last: a factor of the last layer's first weights."""
        super().__init__()
        self.activation, gain = activation, 1 if activation is torch.tanh else math.sqrt(2)  # √2: He's, for ReLU
        weights = [gain * torch.randn(a, b) / math.sqrt(a) for a, b in pairwise(sizes)]
        weights[-1] *= last
        self.weights = nn.ParameterList([weight.repeat(count, 1, 1) for weight in weights])
        self.biases = nn.ParameterList([torch.zeros(count, 1, b) for b in sizes[1:]])

    def forward(self, x: Tensor, only: slice = slice(None)) -> Tensor:
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias[only], self.activation(x) if i else x, weight[only])
        return x


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step on the optimizer's own parameters."""
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.param_groups[0]["params"])
    optimizer.step()


def normal(x: Tensor, mean: Tensor | float, sigma: Tensor | float) -> Tensor:
    """The density of a Gaussian."""
    return (-(((x - mean) / sigma) ** 2) / 2).exp() / (sigma * math.sqrt(2 * math.pi))


def p(x: Tensor) -> Tensor:
    """The density of the mixture."""
    return (SHARES * normal(x[:, None], MEANS, SIGMAS)).sum(1)


def centres() -> Tensor:
    angle = torch.arange(8) * (math.pi / 4)
    return RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def ring(n: int, sigma: float) -> Tensor:
    """n points of the eight Gaussians, n×2."""
    return centres()[torch.randint(8, (n,))] + sigma * torch.randn(n, 2)


def modes_covered(points: Tensor, sigma: float) -> tuple[int, float]:
    """How many of the eight have a tenth of their due within 3σ, and the share of points that lie so near to any."""
    distance, index = torch.cdist(points, centres()).min(1)
    share = index[distance < 3 * sigma].bincount(minlength=8) / len(points)
    return int((share >= 0.1 / 8).sum()), share.sum().item()


def save_gif(pictures: list[Image.Image], path: Path, colours: tuple[str, ...]) -> None:
    """A GIF of these colours, in three strengths: few bytes. The last picture stays for two seconds."""
    palette = Image.new("P", (1, 1))
    shades = [1 - strength * (1 - np.array(to_rgb(colour))) for colour in colours for strength in (1, 0.5, 0)]
    palette.putpalette([round(255 * value) for value in np.concatenate(shades)])
    first, *others = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    moving = {"save_all": True, "append_images": others, "duration": [180] * len(others) + [2000], "loop": 0}
    write_by(path, lambda file: first.save(file, "GIF", **moving))
    print(path)
