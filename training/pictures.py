"""Pixels to numbers and back, files of pictures, and how far pictures differ: is G's answer always the same image?

Not here: the grid (common.py), the curves (log.py), how good pictures are (evaluation/).
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.files import write_by
from training.terminal import say


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to 0…255, on the CPU."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def to_float(images: Tensor) -> Tensor:
    """0…255 to [-1, 1]."""
    return images.float() / 127.5 - 1


def save_picture(picture: Image.Image, path: Path) -> None:
    # compress_level 1: half the time, a sixth more bytes
    write_by(path, lambda file: picture.save(file, "PNG", compress_level=1))


def save_animation(frames: list[Path], path: Path, most: int = 60) -> None:
    """A GIF of at most `most` of the pictures, evenly spaced; the last stays for two seconds. None: no file."""
    if not frames:
        return
    chosen = [frames[round(i)] for i in np.linspace(0, len(frames) - 1, min(most, len(frames)))]
    pictures = [Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in chosen]
    durations = [150] * (len(pictures) - 1) + [2000]
    settings = {"save_all": True, "append_images": pictures[1:], "duration": durations, "loop": 0}
    write_by(path, lambda file: pictures[0].save(file, "GIF", **settings))


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
        chosen = torch.linspace(0, len(real) - 1, min(len(real), few), dtype=torch.float64).long()
        self.real = spread(real[chosen.to(real.device)])
        if self.real == 0 and any(
            (part != real[:1]).any() for part in real.split(4096)
        ):  # not those chosen, but others
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
