"""Sampling: noise, G's images for it, a run when it is done. Not here: how images lie side by side, how
good they are, the files of --sample (earlier.py)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from training.pictures import grid, to_uint8
from training.terminal import show


def noise(n: int, z_dim: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None) -> Tensor:
    """z ~ U(-1, 1), n×z_dim."""
    return torch.empty(n, z_dim, device=device).uniform_(-1, 1, generator=generator)


def noise_from_seed(seed: int, n: int, z_dim: int) -> Tensor:
    """The same, on the CPU, depending on nothing but the arguments: what all pictures are made of."""
    return noise(n, z_dim, generator=torch.Generator().manual_seed(seed))


def walk(seed: int, frames: int, n: int, z_dim: int) -> Tensor:
    """n ways through the noise that end where they begin: frames×n×z_dim.

    Each number goes once from -1 to 1 and back, from a place of its own. So at every moment z is as in training; half
    way on a straight line between two z, most numbers would be nearer to 0.
    """
    turn = torch.linspace(0, 2, frames + 1)[:-1].view(-1, 1, 1)
    return 1 - 2 * ((noise_from_seed(seed, n, z_dim) + 1 + turn) % 2 - 1).abs()


@torch.no_grad()
def generate(G: nn.Module, z: Tensor, batch: int = 500) -> Tensor:
    """Images of G for the noise z, in eval mode (restored afterwards): N×C×H×W in [-1, 1]."""
    training = G.training
    G.eval()
    images = torch.cat([G(part) for part in z.split(batch)])
    G.train(training)
    return images


def generate_uint8(G: nn.Module, z: Tensor) -> Tensor:
    """The same as uint8 on the CPU. As floats, 10,000 colour images of 256 px would need 8 GB."""
    return torch.cat([to_uint8(generate(G, part)) for part in z.split(500)])


@dataclass(repr=False)
class Result:
    """A run when it is done, or stopped: what train() returns, and load() makes of its folder. data: what it learned
    from, in words; G: the network that samples come from, in eval mode; log: the columns of log.csv by name."""

    script: str
    hp: object
    step: int
    seconds: float
    folder: Path
    data: str
    G: nn.Module
    log: dict[str, list[float]]

    def __repr__(self) -> str:
        return f"{self.script} at step {self.step}, in {self.folder}"

    def sample(self, n: int = 64, seed: int = 0, z: Tensor | None = None) -> Tensor:
        """G's images for n noise vectors of a seed, or for z (n×z_dim): n×C×H×W in [-1, 1], on the CPU."""
        z = noise_from_seed(seed, n, self.hp.z_dim) if z is None else z
        return generate(self.G, z.to(next(self.G.parameters()).device)).cpu()

    def show(self, n: int = 64, seed: int = 0) -> None:
        """n samples as a grid: below the cell of a notebook, else in the system's viewer."""
        show(grid(self.sample(n, seed)), otherwise=Image.Image.show)
