"""A full disk, a file that another program holds open."""

import os
from pathlib import Path

import pytest
from conftest import TINY, small

from training import files
from training.files import UserError


class Full:
    """A file system without room: every write fails as on a full disk."""

    def __init__(self, monkeypatch, after: int) -> None:
        self.left = after
        self.fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")
        self.fsync(descriptor)


def test_full_disk_keeps_the_old_checkpoint(command_line, tmp_path, monkeypatch):
    assert command_line("dcgan", *TINY, *small("dcgan"))[0] == 0
    checkpoint = tmp_path / "out/dcgan/checkpoint.pt"
    before = checkpoint.read_bytes()
    real = files.write_file

    def write(path: Path, content: bytes) -> None:
        if path.name == "checkpoint.pt":
            Full(monkeypatch, after=0)
        real(path, content)

    monkeypatch.setattr(files, "write_file", write)
    code, _, err = command_line("dcgan", *TINY[2:], *small("dcgan"), "--steps", 12, "--resume")
    line = err.strip().splitlines()[-1]
    assert code == 1
    assert "checkpoint.pt can't be written: No space left on device" in line
    assert checkpoint.read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_that_is_held_open_for_a_moment(tmp_path, monkeypatch):
    """As on Windows by a virus scanner: it is tried again, and one that stays open is named."""
    real, refusals = os.replace, [2]

    def replace(part, path):
        refusals[0] -= 1
        if refusals[0] >= 0:
            raise PermissionError(13, "Permission denied")
        real(part, path)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    files.write_file(tmp_path / "a.png", b"new")
    assert (tmp_path / "a.png").read_bytes() == b"new"
    refusals[0] = 100
    with pytest.raises(UserError, match=r"a.png can't be written: Permission denied"):
        files.write_file(tmp_path / "a.png", b"newer")
    assert (tmp_path / "a.png").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
