"""A folder of one's own images: cropped, resized, kept. Not here: data sets that have a name."""

import contextlib
import hashlib
import math
import mmap
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from training.datasets import Dataset
from training.files import UserError, first_line, make_folder, replace

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
LARGE = 1 << 30  # bytes: prepared folders above this are memory-mapped instead of read


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
            mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            array = np.frombuffer(mapping, dtype=np.uint8)
        else:
            mapping, array = None, np.fromfile(stream, dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the array is read-only: nobody writes into it
        images = torch.from_numpy(array).view(count, channels, size, size)
    return Dataset(images, None, f"{folder}, centre-cropped", mapping)


def prepare_folder(files: list[Path], cache: Path, size: int, channels: int) -> None:
    """Decode `files` with all cores into `cache`; those that can't be read are skipped and counted."""
    make_folder(cache.parent)
    part = cache.with_name(f"{cache.name}.{os.getpid()}.part")
    skipped: list[str] = []
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
                        skipped.append(f"{path} ({pixels})")
                bar.update(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
        if len(skipped) == len(files):
            raise UserError(f"none of the {len(files)} images could be read: {skipped[0]}")
        if not cache.exists():  # another run may have made it meanwhile, and on Windows holds it open
            replace(part, cache)
    except OSError as error:
        raise UserError(f"{cache}: {first_line(error)}: free some space or choose another --data-dir") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    if skipped:
        named = ", ".join(skipped[:2]) + (", …" if len(skipped) > 2 else "")
        print(f"skipped {len(skipped)} of {len(files)} files that can't be read as images: {named}")


def prepare_image(path: Path, size: int, channels: int) -> bytes | str:
    """The central square of one image as size·size·channels bytes (C×H×W), or what is wrong with it."""
    try:
        with Image.open(path) as file:
            file.draft("RGB", (size, size))  # lets a JPEG decode at 1/2, 1/4 or 1/8, never below this size
            image = upright(file).convert("L" if channels == 1 else "RGB")
            image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
            pixels = np.asarray(image, dtype=np.uint8).reshape(size, size, channels)
            return pixels.transpose(2, 0, 1).tobytes()
    except Exception as error:  # the decoders of five formats raise nearly anything on a damaged file
        return first_line(error)


def upright(image: Image.Image) -> Image.Image:
    """An image as it is to be seen: turned as its camera says, 8 bits deep, what is transparent on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
        image = Image.fromarray((np.asarray(image, dtype=np.int64) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def guess_channels(files: list[Path]) -> int:
    """1 if every one of up to 100 images, spread evenly over the folder, is grey; else 3."""
    for path in files[:: math.ceil(len(files) / 100)]:
        try:
            with Image.open(path) as image:
                if image.mode not in ("1", "L", "LA", "I", "I;16"):
                    return 3
        except Exception:  # prepare_folder names it
            continue
    return 1
