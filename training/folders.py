"""A folder of images: found, looked at, decoded; as training data also cropped, resized and kept. Not here: data sets
that have a name; how evaluate.py puts pictures together (it reads them with Survey as well).
"""

import collections
import contextlib
import functools
import hashlib
import itertools
import mmap
import os
import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from training.datasets import Dataset, meant
from training.files import UserError, as_name, first_line, make_folder, replace
from training.terminal import say

LARGE = 1 << 30  # bytes: prepared folders above this are memory-mapped instead of read
PIECE = 1 << 15  # bytes: of a file of up to two pieces all counts, of a larger one the first piece and the last


def load_folder(folder: Path, data_dir: Path, size: int, channels: int) -> Dataset:
    """A folder of images, cropped to the central square, resized once and kept under `data_dir`/prepared.

    The prepared file is found again by the contents of the images and the settings; names and dates do not count.
    """
    files, prepared = find_images(folder, f"--data {folder}"), data_dir / "prepared"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        marks = dict(zip(files, pool.map(fingerprint, files)))
    key = mark(*marks.values(), b"%d %d" % (size, channels))
    try:
        name = f"{as_name(folder.resolve().name)}-{size}px"
        cache = next(prepared.glob(f"*-{key}.u8"), None) or prepare_folder(marks, prepared, name, key, size, channels)
        channels, count, identity = re.search(r"(\d)ch-(\d+)-(\w+)-\w+\.u8$", cache.name).groups()
        with cache.open("rb") as stream:
            if cache.stat().st_size != int(count) * int(channels) * size * size:
                raise UserError(f"{cache} is damaged: delete it and run again")
            if cache.stat().st_size > LARGE:
                mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                array = np.frombuffer(mapping, dtype=np.uint8)
            else:
                mapping, array = None, np.fromfile(stream, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"{prepared}: {first_line(error)}: free some space or choose another --data-dir") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the array is read-only: nobody writes into it
        images = torch.from_numpy(array).view(int(count), int(channels), size, size)
    return Dataset(images, None, f"{folder}, centre-cropped", mapping, identity)


def suffixes() -> set[str]:
    """The ends of file names, in small letters, that Pillow reads."""
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def find_images(folder: Path, called: str) -> list[Path]:
    """All images in and below a folder, in the order of their names; links are followed. A line says what is left out.

    called: the folder, in the words of the UserError that is raised if there are none.
    """
    known, files, closed, others, seen = suffixes(), [], [], collections.Counter(), set()
    for place, folders, names in os.walk(folder, closed.append, followlinks=True):
        folders.sort()
        if (real := os.path.realpath(place)) in seen:  # a link in a circle, or a second one
            others["link to a folder that is read already"] += 1
            names, folders[:] = [], []
        seen.add(real)
        for path in (Path(place, name) for name in names):
            if path.suffix.lower() in known and path.is_file():  # a pipe would never end
                files.append(path)
            elif path.suffix != ".u8" and not path.name.startswith("."):
                others[path.suffix.lower() or "file without an ending"] += 1
    others.update(f"folder that can't be opened ({error.filename}: {first_line(error)})" for error in closed)
    ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    left_out = ", ".join(f"{count} {what}" for what, count in ordered[:8])
    if not files:
        there = f"; there lie {left_out}" if others else ""
        raise UserError(f"{called}: no images there, subfolders too{there}{meant(folder.name)}")
    if others:
        say_once(f"{folder}: not read: {left_out}")
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


say_once = functools.cache(say)


def mark(*content: bytes) -> str:
    """A short name for bytes."""
    return hashlib.blake2b(b"".join(content), digest_size=8).hexdigest()


def fingerprint(path: Path) -> bytes:
    """What stands for an image file, whatever its name, its place and its date."""
    with contextlib.suppress(OSError), path.open("rb") as stream:  # one that can't be read will be named
        size, first = os.fstat(stream.fileno()).st_size, stream.read(PIECE)
        stream.seek(max(PIECE, size - PIECE))
        return mark(b"%d " % size, first, stream.read()).encode()
    return b""


def look(path: Path) -> tuple:
    """Of an image file: size, whether in colour, how many pictures, depth() and the largest number of that depth."""
    with Image.open(path) as image:
        kind, top = depth(image), 0.0
        colour = image.mode not in ("1", "L", "LA") and kind not in ("I", "F") and "LA;16" not in str(image.tile)
        pictures = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a photo and its small copy
        if kind:
            values = np.asarray(image, dtype=np.float64)
            top = values[np.isfinite(values)].max(initial=0) * (257 if kind == "16" else 1)
        return image.size, colour, pictures, kind, top


class Survey:
    """What the files of a folder hold together, seen before images are made of them; and then these images."""

    def __init__(self, files: list[Path]) -> None:
        looks = dict(zip(files, list(in_threads(look, files, "looking at images"))))
        self.skipped = {path: found for path, found in looks.items() if isinstance(found, str)}
        self.files = [path for path in files if path not in self.skipped]
        found = [looks[path] for path in self.files]
        self.sizes, colours, self.pictures, depths, tops = zip(*found) if found else [()] * 5
        self.channels = 3 if any(colours) else 1
        self.white = {k: white(k, max(top for d, top in zip(depths, tops) if d == k)) for k in set(depths)}

    def images(self, size: int, channels: int) -> Iterator[tuple[Path, bytes]]:
        """Each image as size·size·channels bytes (C×H×W). Afterwards a line says what could not be read as it is, and
        UserError is raised if nothing could."""
        prepare = functools.partial(prepare_image, size=size, channels=channels, white=self.white)
        for pixels, path in zip(in_threads(prepare, self.files, "preparing images"), self.files):
            if isinstance(pixels, bytes):
                yield path, pixels
            else:
                self.skipped[path] = pixels
        named, count = [f"{path} ({problem})" for path, problem in self.skipped.items()], len(self.skipped)
        if set(self.files) <= self.skipped.keys():
            raise UserError(f"none of the {count} images could be read: {named[0]}")
        small, several = sum(min(s) < size for s in self.sizes), sum(n > 1 for n in self.pictures)
        which = f"of {len(self.skipped.keys() | self.files)} files that can't be read as images"
        lines = [f"skipped {count} {which}: {', '.join(named[:2] + ['…'] * (count > 2))}"] * bool(count)
        lines += [f"{small} images are smaller than {size}×{size} and are enlarged"] * bool(small)
        lines += [f"of {several} files that hold several pictures the first one is taken"] * bool(several)
        if lines:
            say("; ".join(lines))


def in_threads(work: Callable, files: list[Path], doing: str) -> Iterator:
    """work(file) for each file, or what is wrong with it. Threads are enough: Pillow decodes and resizes outside
    Python's global lock."""

    def attempt(path: Path) -> object:
        try:
            return work(path)
        except Exception as error:  # the decoders raise nearly anything on a damaged file
            return first_line(error)

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # Pillow's, of odd files: those that can't be read are counted
        parts = (pool.map(attempt, files[start : start + 1024]) for start in range(0, len(files), 1024))
        yield from tqdm(itertools.chain.from_iterable(parts), doing, len(files), unit="")


def prepare_folder(marks: dict[Path, bytes], prepared: Path, name: str, key: str, size: int, channels: int) -> Path:
    """Decode the files into one, called by `name`, what is in it, and `key`. Returns its path."""
    make_folder(prepared, "--data-dir")
    part = prepared / f".{key}.{os.getpid()}.part"
    survey, used = Survey(list(marks)), []
    channels = channels or survey.channels
    try:
        with part.open("wb") as stream:
            for path, pixels in survey.images(size, channels):
                stream.write(pixels)
                used.append(marks[path])
            stream.flush()
            os.fsync(stream.fileno())
        cache = prepared / f"{name}-{channels}ch-{len(used)}-{mark(*sorted(used))}-{key}.u8"
        if not cache.exists():  # another run may have made it meanwhile, and on Windows holds it open
            replace(part, cache)
        return cache
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def prepare_image(path: Path, size: int, channels: int, white: dict[str, float]) -> bytes:
    """The central square of one image as size·size·channels bytes (C×H×W)."""
    with Image.open(path) as file:
        file.draft("RGB", (size, size))  # lets a JPEG decode at 1/2, 1/4 or 1/8, never below this size
        image = upright(file, white).convert("L" if channels == 1 else "RGB")
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
        pixels = np.asarray(image, dtype=np.uint8).reshape(size, size, channels)
        return pixels.transpose(2, 0, 1).tobytes()


def upright(image: Image.Image, white: dict[str, float]) -> Image.Image:
    """An image as it is to be seen: turned as its camera says, 8 bits deep, what is transparent on white.

    white: for each depth() the number that is white; where there is none, 65535.
    """
    kind = depth(image)
    image = ImageOps.exif_transpose(image)
    if kind and (kind != "16" or white.get(kind, 65535) < 65535):
        scale = 255 / white.get(kind, 65535) * (257 if kind == "16" else 1)
        values = np.nan_to_num(np.asarray(image, dtype=np.float64)) * scale
        image = Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def depth(image: Image.Image) -> str:
    """Which numbers of more than 8 bits an image holds, seen before it is decoded: I whole ones, F fractions, 16 those
    of colours, of which Pillow gives the upper 8 bits; "" none."""
    if image.mode[0] in "IF":
        return image.mode[0]
    return "16" if re.search(r"'(RGB.?|LA);16[BLN]'", str(getattr(image, "tile", ""))) else ""


def white(kind: str, top: float) -> float:
    """The number that is white, if `top` is the largest of all images: of whole ones that of 8, 10, 12, 14, 16 bits."""
    if kind == "F" and top < 128:
        return max(1.0, top)
    return next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if top < 2**bits), top)
