"""Space continuity (Berthelot et al. 2017, section 4.3): the z whose image is nearest to a given image, and the way
between two such z. Not here: distances without a search (metrics.py)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn, optim

from training.pictures import to_float

STEPS = 100
LR = 0.05  # of Adam on z, whose numbers lie in [-1, 1]
BETWEEN = 8  # images on the way from one found z to another


def find(G: nn.Module, images: Tensor, starts: Tensor, steps: int) -> Tensor:
    """z (N×z_dim) that minimise |G(z) − x|² for float images x in [-1, 1], by Adam on z; G in eval mode.

    starts: M×z_dim. Each search begins at the one whose image is nearest, as a search from a random z often ends in
    another digit than the one it looks for. z is kept in [-1, 1], where the noise of a training lies.
    """
    with torch.no_grad():
        made = torch.cat([G(part) for part in starts.split(250)]).flatten(1)
    z = starts[torch.cdist(images.flatten(1), made).argmin(1)].clone()
    optimizer = optim.Adam([z], LR)
    for _ in range(steps):
        z.requires_grad_()
        # Summed over the images, so that each has its own gradient, whatever the others are
        z.grad = torch.autograd.grad(((G(z) - images) ** 2).mean((1, 2, 3)).sum(), z)[0]
        z.requires_grad_(False)
        optimizer.step()
        z.clamp_(-1, 1)
    return z


@torch.no_grad()
def distances(G: nn.Module, z: Tensor, images: Tensor) -> Tensor:
    """RMS over the pixels, which lie in [0, 1], as for memorisation: N."""
    return ((G(z) - images) ** 2).mean((1, 2, 3)).sqrt() / 2


def how_many(image: Tensor) -> int:
    """Images whose z is searched for: 32 digits, 8 large colour images, so that a search takes seconds."""
    return max(8, min(32, 2**15 // image.numel()))


def continuity(G: nn.Module, real: Tensor, noise: Callable[[int, int], Tensor]) -> tuple[dict[str, float], Tensor]:
    """How near G can come to images that it was not made from, and two lines: real | found | on the way | found | real.

    real: uint8 N×C×H×W, 4 at least; noise(seed, n): z, n×z_dim, on G's device. Gives numbers, and 2 × columns images in
    [-1, 1]. inversion: the mean distance of held-out images to the nearest G(z) that was found; inversion_own: the same
    for samples of G itself, whose z exists: what the search alone misses.
    """
    training = G.training
    G.eval()
    count = how_many(real[0])
    starts, own = noise(1, 1000), noise(2, count)
    images = to_float(real[:count]).to(starts.device)
    with torch.no_grad():
        samples = G(own)
    z = find(G, torch.cat([images, samples]), starts, STEPS)
    found = distances(G, z, torch.cat([images, samples])).split([len(images), count])
    lines = []
    for i in (0, 2):
        way = torch.stack([torch.lerp(z[i], z[i + 1], t.item()) for t in torch.linspace(0, 1, BETWEEN)])
        with torch.no_grad():
            lines.append(torch.cat([images[i : i + 1], G(way), images[i + 1 : i + 2]]))
    G.train(training)
    numbers = {name: part.mean().item() for name, part in zip(("inversion", "inversion_own"), found)}
    return numbers, torch.cat(lines)
