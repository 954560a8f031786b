"""Pixels to numbers and back, and files of pictures. Not here: the grid (common.py), the curves."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workshop.files import write_by


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
