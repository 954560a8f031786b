"""Folders of colour pictures that anyone can have, to train on: from packages of pip and of Debian, and your own.

python -m benchmarks.pictures faces FOLDER              6,000 cartoon faces of 96×96 pixels
python -m benchmarks.pictures emoji FOLDER              the pictograms of a colour font: 3,926 of 136×128 pixels
python -m benchmarks.pictures pieces FOLDER [IMAGES…]   photographs and paintings, cut into some thousand squares
"""

import io
import itertools
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image
from tqdm import tqdm

from training.files import UserError, first_line, make_folder, require, write_by, write_file
from training.folders import suffixes, upright
from training.terminal import read_flags


@dataclass(kw_only=True)
class Options:
    """What all kinds share."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Where the pictures go: a new or an empty folder."""


@dataclass(kw_only=True)
class Faces(Options):
    """Cartoon faces, put together at random: hair or hat, eyes, mouth, beard, glasses, clothes, colours. The art is
    Avataaars by Pablo Stanley, free for personal and commercial use; it comes with the package python_avatars (MIT)."""

    count: int = 6000
    """How many. With the same seed a smaller number gives the first ones of a larger number."""
    size: int = 96
    """Height = width in pixels."""
    seed: int = 0
    """The same seed gives the same faces, with the same versions of the packages."""

    def __post_init__(self) -> None:
        require(1 <= self.count <= 1_000_000, "--count", self.count, "1 to 1000000")
        require(8 <= self.size <= 1024, "--size", self.size, "8 to 1024")


@dataclass(kw_only=True)
class Emoji(Options):
    """The pictograms of a colour font, as they are in Debian's package fonts-noto-color-emoji."""

    font: Path = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
    """A font with a CBDT table."""


@dataclass(kw_only=True)
class Pieces(Options):
    """Squares that are cut out of large pictures."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional] = (
        Path("/usr/share/wallpapers"),
        Path("/usr/share/backgrounds"),
    )
    """Files or folders, with their subfolders. The default is where Debian's packages
    plasma-workspace-wallpapers and gnome-backgrounds put theirs."""
    size: int = 128
    """Height = width of a piece in pixels."""
    rows: int = 8
    """Pieces along the shorter side of a picture, which is first made smaller to fit."""
    plain: float = 8.0
    """Pieces whose pixels, of 0…255, have a smaller standard deviation than this are sky or wall: left out."""

    def __post_init__(self) -> None:
        require(8 <= self.size <= 1024, "--size", self.size, "8 to 1024")
        require(self.rows >= 1, "--rows", self.rows, "at least 1")


def faces(options: Faces) -> int:
    """Draw busts as SVG, render them on white, cut off what is higher than wide. Returns how many."""
    try:
        from python_avatars import Avatar, AvatarStyle
        from resvg_py import svg_to_bytes
    except ImportError as error:
        raise UserError(f"{first_line(error)}: faces need two packages: pip install python_avatars resvg_py") from error
    random.seed(options.seed)  # python_avatars draws from here
    for i in tqdm(range(options.count), desc="drawing", unit="", disable=None):
        svg = Avatar.random(style=AvatarStyle.TRANSPARENT).render()
        # Without the system's fonts: they differ, and a few shirts have words on them
        png = svg_to_bytes(svg_string=svg, width=options.size, background="white", skip_system_fonts=True)
        with Image.open(io.BytesIO(png)) as opened:
            top = (opened.height - options.size) // 2
            image = opened.convert("RGB").crop((0, top, options.size, top + options.size))
        save(image, options.folder / f"{i:06d}.png")
    return options.count


def emoji(options: Emoji) -> int:
    """Write the PNGs of the font's first strike, as they are. Returns how many."""
    from fontTools.ttLib import TTFont, TTLibError  # it comes with matplotlib

    try:
        glyphs = TTFont(options.font)["CBDT"].strikeData[0]
    except (OSError, TTLibError, KeyError) as error:
        way_out = "apt install fonts-noto-color-emoji, or --font PATH"
        raise UserError(f"{options.font} is not there, or no font of coloured bitmaps: {way_out}") from error
    for name, glyph in glyphs.items():
        write_file(options.folder / f"{name}.png", glyph.imageData)
    return len(glyphs)


def pieces(options: Pieces) -> int:
    """Cut pictures into squares. What can't be read is counted, what is too small for `rows` of them too."""
    found = [file for path in options.images for file in (path.rglob("*") if path.is_dir() else [path])]
    found = {file.resolve() for file in found if file.suffix.lower() in suffixes() | {".jxl", ".svg"}}
    files = sorted(found)  # each once: those packages have one picture under many names
    if not files:
        places = ", ".join(map(str, options.images))
        way_out = "name files or folders, or apt install plasma-workspace-wallpapers gnome-backgrounds"
        raise UserError(f"no pictures in {places}: {way_out}")
    unreadable, small, plain, written = [], 0, 0, 0
    for file in tqdm(files, desc="cutting", unit="", disable=None):
        try:
            with Image.open(file) as opened:
                image = upright(opened, {}).convert("RGB")
        # A format that Pillow does not know, a damaged file, one that is too large
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            unreadable.append(file.suffix)
            continue
        if min(image.size) < options.size * options.rows:
            small += 1
            continue
        for square in cut(image, options.size, options.rows):
            if np.asarray(square).std((0, 1)).max() < options.plain:
                plain += 1
            else:
                save(square, options.folder / f"{written:06d}.png")
                written += 1
    if unreadable:
        print(f"skipped {len(unreadable)} files that Pillow can't read ({', '.join(sorted(set(unreadable)))})")
    print(f"skipped {small} pictures below {options.size * options.rows} pixels and {plain} pieces without content")
    return written


def cut(image: Image.Image, size: int, rows: int) -> list[Image.Image]:
    """Squares of `size` pixels, side by side, of a picture whose shorter side is first made rows·size pixels long."""
    scale = rows * size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    corners = itertools.product(range(0, image.height - size + 1, size), range(0, image.width - size + 1, size))
    return [image.crop((left, top, left + size, top + size)) for top, left in corners]


def save(image: Image.Image, path: Path) -> None:
    write_by(path, lambda file: image.save(file, "PNG"))


def main() -> None:
    options = read_flags(Faces | Emoji | Pieces, "python -m benchmarks.pictures", __doc__)
    try:
        make_folder(options.folder)
        if any(options.folder.iterdir()):  # its pictures would be mixed with these, or written over
            raise UserError(f"{options.folder} is not empty: name a new folder, or empty this one")
        count = {Faces: faces, Emoji: emoji, Pieces: pieces}[type(options)](options)
    except UserError as error:
        sys.exit(f"pictures.py: {error}")
    except OSError as error:  # what is read has been tried by now
        sys.exit(f"pictures.py: {options.folder} can't be written: {first_line(error)}")
    except KeyboardInterrupt:
        sys.exit(f"pictures.py: stopped: {options.folder} has only a part of the pictures")
    print(f"{count} pictures in {options.folder}")


if __name__ == "__main__":
    main()
