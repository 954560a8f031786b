"""Files that are written whole or not at all, and what a user can put right. Not here: what is in the files."""

import contextlib
import hashlib
import io
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


class UserError(Exception):
    """Something that the user can put right. Its text says, in one line, what, where and how."""


class Diverged(Exception):
    """A loss or a weight is not finite. The text says which, and at which step."""


def flag(name: str) -> str:
    """The command line's name of a field: batch_size is --batch-size."""
    return "--" + name.replace("_", "-")


def require(condition: bool, flag: str, value: object, allowed: str) -> None:
    """Raise ValueError naming the flag, its value and what is allowed, unless `condition` holds."""
    if not condition:
        raise ValueError(f"{flag} {value}: must be {allowed}".replace("\n", " "))


def first_line(text: object) -> str:
    """The first line of a text, or of an error's text; an error without one gives its kind.

    Of the system's errors it is the reason alone, such as "No space left on device". A line that ends with a colon
    says nothing without the next one.
    """
    plain = re.sub(r"\x1b\[[\d;]*m", "", str(getattr(text, "strerror", None) or text))  # PyTorch prints in colour
    lines = [line.strip() for line in plain.strip().splitlines()]
    if not lines:
        return type(text).__name__
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:200]


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that at any moment either the old one or the new one is there, whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # each process its own: two may write the same file
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        replace(part, path)
    except OSError as error:
        raise UserError(f"{path} can't be written: {first_line(error)}; an earlier one is unharmed") from error
    finally:  # whatever went wrong; if all is well there is none left
        with contextlib.suppress(OSError):
            part.unlink()


def write_by(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """The same with what `save` writes into the file that it is given."""
    buffer = io.BytesIO()
    save(buffer)
    write_file(path, buffer.getbuffer())


def replace(part: Path, path: Path) -> None:
    """os.replace, tried for two seconds: on Windows a virus scanner may hold the old file open for a moment."""
    for wait in (0.1, 0.4, 1.5):
        try:
            return os.replace(part, path)
        except PermissionError:
            time.sleep(wait)
    return os.replace(part, path)


def append_text(path: Path, text: str) -> None:
    """Add text at the end of a file."""
    try:
        with path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(text)
    except OSError as error:
        raise UserError(f"{path} can't be written: {first_line(error)}") from error


def can_be_a_path(text: str) -> bool:
    """Whether the system could have a file or folder of this name."""
    try:
        os.stat(text)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # it could be made, or it will be said why not
    except (OSError, ValueError):  # too long, links in a circle, a character that no name may have
        return False
    return text.strip() != ""


def make_folder(path: Path, option: str = "--out") -> None:
    """Make a folder, and those above it, unless it is there. option: the flag that names another."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = "a file of that name is there" if isinstance(error, FileExistsError) else first_line(error)
        raise UserError(f"{path} can't be made a folder: {problem}: choose another {option}") from error


def as_name(text: str, most: int = 60) -> str:
    """A text of the user's as part of a file's name, on any system. One that is too long is cut, and unlike others."""
    name = re.sub(r"[^\w.+-]+", "_", text).strip(".")
    short = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return name if len(name) <= most else f"{name[: most - 9]}-{short}"
