"""Images from elsewhere: an .npz file, a folder of pictures. Not here: images that a run's generator makes."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.files import UserError, first_line
from training.folders import Survey, find_images
from training.pictures import to_uint8


def read_npz(path: Path) -> Tensor:
    """arr_0 of an .npz file: uint8, N×H×W×C with C 1 or 3 → N×C×H×W."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
            if "arr_0" not in archive:
                raise UserError(f"{path} has no arr_0, only {', '.join(archive) or 'nothing'}")
            array = archive["arr_0"]
    except FileNotFoundError as error:
        raise UserError(f"there is no {path}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(f"{path} is no whole .npz file: {first_line(error)}") from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3):
        raise UserError(f"{path}: arr_0 is {array.dtype} {array.shape}; it must be uint8, N×H×W×C with C 1 or 3")
    if array.shape[1] != array.shape[2]:
        raise UserError(f"{path}: arr_0 has images of {array.shape[1]}×{array.shape[2]} pixels; they must be square")
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


def read_pictures(folder: Path) -> Tensor:
    """All pictures in and below a folder, which must be alike in size: uint8 N×C×H×W; those that can't be read are
    counted, as for a training."""
    files = find_images(folder, str(folder))
    survey = Survey(files)
    sizes = sorted(set(survey.sizes))
    if any(size != (sizes[0][0],) * 2 for size in sizes):
        found = ", ".join(f"{width}×{height}" for width, height in sizes[:3]) + ", …" * (len(sizes) > 3)
        raise UserError(f"{folder}: the pictures must be square and of one size; found {found} (width×height) pixels")
    side = sizes[0][0] if sizes else 0
    arrays = [np.frombuffer(pixels, np.uint8) for _, pixels in survey.images(side, survey.channels)]
    return torch.from_numpy(np.stack(arrays)).view(-1, survey.channels, side, side)


def as_images(content: Tensor | np.ndarray) -> Tensor:
    """Images given from Python, as uint8 N×C×H×W: a tensor N×C×H×W, uint8 or float in [-1, 1], or an array N×H×W×C."""
    if isinstance(content, np.ndarray) and content.ndim == 4:
        content = torch.from_numpy(content).permute(0, 3, 1, 2).contiguous()
        if content.dtype != torch.uint8:
            raise UserError(f"an array of images must be uint8, N×H×W×C; this is {content.dtype}")
    if not isinstance(content, Tensor) or content.ndim != 4 or content.shape[1] not in (1, 3):
        shape = tuple(content.shape) if hasattr(content, "shape") else type(content).__name__
        raise UserError(f"images must be a tensor N×C×H×W or an array N×H×W×C with C 1 or 3; this is {shape}")
    if content.shape[2] != content.shape[3]:
        raise UserError(f"images must be square; these are {content.shape[2]}×{content.shape[3]}")
    return content.cpu() if content.dtype == torch.uint8 else to_uint8(content.float())
