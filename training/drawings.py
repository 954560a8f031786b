"""What a script draws besides its samples (run.picture). Not here: when a grid is due, files."""

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor, nn

from training.files import UserError
from training.pictures import grid

RESERVED = ("samples", "real", "curves", "generated", "evaluate", "compare")  # names in a run's folder


class Drawings:
    """The pictures that a script draws besides its samples. They are made after the step in which they were named, if
    a grid is due then: the next step begins with new random numbers, so nothing that is learned depends on them."""

    def __init__(self) -> None:
        self.step = 0
        self.named: dict[str, tuple[Callable, tuple]] = {}  # in this step: what makes it, of what

    def name(self, step: int, name: str, make: Callable, arguments: tuple) -> None:
        """Raises UserError for a name that no file can have, that is taken, or that was given in this step already."""
        if not name.isidentifier() or name in RESERVED or not callable(make):
            allowed = f"a name of letters, digits and _ (none of {', '.join(RESERVED)}), a function and what it takes"
            raise UserError(f"run.picture({name!r}, {make!r:.40}): give {allowed}")
        self.named, self.step = self.named if step == self.step else {}, step
        if name in self.named:
            raise UserError(f"run.picture: {name} twice in step {step}: give each picture a name of its own")
        self.named[name] = make, arguments

    @torch.no_grad()
    def draw(self, step: int, networks: list[nn.Module]) -> dict[str, Image.Image]:
        """Those named in this step; all networks are in eval mode meanwhile, so BatchNorm learns nothing from them."""
        modes = {module: module.training for network in networks for module in network.modules()}
        for network in networks:
            network.eval()
        named = self.named if step == self.step else {}
        drawn = {name: as_picture(name, make(*arguments)) for name, (make, arguments) in named.items()}
        for module, mode in modes.items():
            module.training = mode
        return drawn


def as_picture(name: str, made: object) -> Image.Image:
    """What a script has drawn: a picture, or images N×C×H×W. Raises UserError for anything else."""
    if isinstance(made, Tensor) and made.dim() == 4 and made.shape[1] in (1, 3) and made.numel() > 0:
        return grid(made)
    if not isinstance(made, Image.Image):
        kind = f"of shape {tuple(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
        raise UserError(f"run.picture: {name} is {kind}: give images N×C×H×W in [-1, 1], or a grid of them")
    return made
