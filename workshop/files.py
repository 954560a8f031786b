"""Files that are written whole or not at all. Not here: what is in them."""

import contextlib
import os
from pathlib import Path

from workshop.errors import UserError


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


def append_text(path: Path, text: str) -> None:
    """Add text at the end of a file."""
    try:
        with path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(text)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}") from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} can't be made a folder: {error.strerror}: choose another one") from error
