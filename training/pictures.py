"""Pixels to numbers and back, images side by side, files of pictures, what a script draws of its own (run.picture),
and how far pictures differ: is G's answer always the same image?

Not here: the curves (log.py), how good pictures are (evaluation/).
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor, nn

from training.files import UserError, first_line, write_by
from training.terminal import say


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to 0…255, on the CPU."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def to_float(images: Tensor) -> Tensor:
    """0…255 to [-1, 1]."""
    return images.float() / 127.5 - 1


def grid(images: Tensor, columns: int = 0) -> Image.Image:
    """Images side by side, square unless `columns` says otherwise; small ones enlarged by a whole factor.

    images: uint8 N×C×H×W or float in [-1, 1].
    """
    if images.dtype != torch.uint8:
        images = to_uint8(images)
    columns = columns or math.ceil(math.sqrt(len(images)))
    factor = max(1, 56 // images.shape[-1])
    images = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3).expand(-1, 3, -1, -1)
    images = F.pad(images, (2, 0, 2, 0, 0, 0, 0, -len(images) % columns), value=128)  # borders; the last row is filled
    rows = images.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)  # height×width×3
    return Image.fromarray(F.pad(rows, (0, 0, 0, 2, 0, 2), value=128).numpy())


def some(images: Tensor, count: int) -> Tensor:
    """At most `count` of the images, evenly spaced, on the CPU."""
    chosen = torch.linspace(0, len(images) - 1, min(len(images), count), dtype=torch.float64).long()
    return images[chosen.to(images.device)].cpu()


def checksum(images: Tensor) -> str:
    return f"sha256 of 1,000 images, evenly spaced: {hashlib.sha256(some(images, 1000).numpy()).hexdigest()}"


def save_picture(picture: Image.Image, path: Path) -> None:
    # compress_level 1: half the time, a sixth more bytes
    write_by(path, lambda file: picture.save(file, "PNG", compress_level=1))


def save_gif(pictures: list[Image.Image], path: Path, milliseconds: list[int]) -> None:
    frames = [picture.convert("P", palette=Image.Palette.ADAPTIVE) for picture in pictures]
    settings = {"save_all": True, "append_images": frames[1:], "duration": milliseconds, "loop": 0}
    write_by(path, lambda file: frames[0].save(file, "GIF", **settings))


def save_animation(grids: dict[int, Path], path: Path, most: int = 60) -> None:
    """A GIF of the grids, by step, each with its step above it. No grids: no file.

    G changes most at first: of steps 100 to 200 it shows as many as of 1000 to 2000, if they are there. It takes four
    seconds, then the last one stays for two. A grid that can't be read is left out, in one line.
    """
    if not grids:
        return
    moments = np.geomspace(1, max(grids) + 1, most) - 1
    steps = sorted({min(grids, key=lambda step: abs(step - moment)) for moment in moments})
    pictures = []
    for step in steps:
        try:
            pictures.append(with_title(Image.open(grids[step]), f"step {step:,}"))
        except Exception as error:  # the decoders raise nearly anything on a damaged file
            say(f"{grids[step]} can't be read, so {path.name} is without it: {first_line(error)}")
    if pictures:
        save_gif(pictures, path, [min(500, 4000 // len(pictures))] * (len(pictures) - 1) + [2000])


def with_title(picture: Image.Image, title: str) -> Image.Image:
    """The picture with a line of text above it."""
    higher = Image.new("RGB", (picture.width, picture.height + 20), "white")
    higher.paste(picture, (0, 20))
    ImageDraw.Draw(higher).text((4, 2), title, "black", font_size=14)
    return higher


RESERVED = ("samples", "real", "curves", "generated", "evaluate", "compare")  # names in a run's folder


class Drawings:
    """The pictures that a script draws besides its samples. They are made after the step in which they were named, if
    a grid is due then: the next step begins with new random numbers, so nothing that is learned depends on them."""

    def __init__(self) -> None:
        self.step = 0
        self.named: dict[str, tuple[Callable, tuple]] = {}  # in this step: what makes it, of what
        self.last: dict[str, Image.Image] = {}

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
        if step == self.step:
            self.last = {name: as_picture(name, make(*arguments)) for name, (make, arguments) in self.named.items()}
        for module, mode in modes.items():
            module.training = mode
        return self.last if step == self.step else {}


def as_picture(name: str, made: object) -> Image.Image:
    """What a script has drawn: a picture, or images N×C×H×W. Raises UserError for anything else."""
    if isinstance(made, Tensor) and made.dim() == 4 and made.shape[1] in (1, 3) and made.numel() > 0:
        return grid(made)
    if not isinstance(made, Image.Image):
        kind = f"of shape {tuple(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
        raise UserError(f"run.picture: {name} is {kind}: give images N×C×H×W in [-1, 1], or a grid of them")
    return made


ALIKE = 0.2  # of the real images' spread. Good runs of five scripts: 0.35 or more, later than step 250 (docs/health.md)
FROM_STEP = 500  # earlier the samples of a good run may still be alike
IN_A_ROW = 3  # grids; a G may make one image for a while


def spread(images: Tensor) -> float:
    """Standard deviation over N×C×H×W images, the mean over their pixels; 0 for one image."""
    return images.float().std(0, correction=0).mean().item()


class Spread:
    """Compares the spread of the samples with that of the real images, and says once if G makes but one image."""

    def __init__(self, real: Tensor) -> None:
        """real: all training images, uint8 N×C×H×W."""
        self.count = len(real)
        few = max(2, min(1000, 2**25 // real[0].numel()))  # at most 128 MB as floats
        self.real = spread(some(real, few))
        if self.real == 0 and any((part != real[:1]).any() for part in real.split(4096)):  # others do
            self.real = spread(real)
        self.alike, self.said = 0, False  # grids in a row; whether it was said

    def remark(self, batch_size: int) -> None:
        """Say what the one who starts a training should know of its images, if anything."""
        if self.real == 0:
            say(f"all training images are the same one ({self.count}): nothing to learn but that image, whatever z")
        elif self.count < batch_size:
            few = f"{self.count} training images, fewer than a batch of {batch_size}"
            say(f"{few}: D learns them by heart, expect copies of them or noise; some thousands are enough")

    def look(self, samples: Tensor, step: int, last: bool) -> None:
        """samples: uint8 N×C×H×W of different z, made after `step` steps; last: no more will come."""
        if self.real == 0 or self.said:
            return
        ratio = spread(samples) / self.real
        self.alike = self.alike + 1 if ratio < ALIKE and step >= FROM_STEP else 0
        if self.alike >= IN_A_ROW or (self.alike and last):
            self.said = True
            say(
                f"G makes nearly the same image for every z (step {step}: its samples differ {ratio:.0%} as much as the"
                " real images): it has collapsed. Try another --seed, or lower learning rates, that of D first"
            )
