"""A full disk."""

import os
from pathlib import Path

from conftest import TINY

from workshop import checkpoints, files


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
    assert command_line("dcgan", *TINY)[0] == 0
    checkpoint = tmp_path / "out/dcgan/checkpoint.pt"
    before = checkpoint.read_bytes()
    real = files.write_file

    def write(path: Path, content: bytes) -> None:
        if path.name == "checkpoint.pt":
            Full(monkeypatch, after=0)
        real(path, content)

    monkeypatch.setattr(checkpoints, "write_file", write)
    code, _, err = command_line("dcgan", *TINY[2:], "--steps", 12, "--resume")
    line = err.strip().splitlines()[-1]
    assert code == 1
    assert "checkpoint.pt can't be written: No space left on device" in line
    assert checkpoint.read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))
