"""Malformed input of every kind: one line, no traceback, nothing executed, nothing half-written."""

import io
import os
import pickle
import random
import shutil
import zipfile

import numpy as np
import pytest
import torch
from conftest import ROOT, TINY

import common
import evaluate


@pytest.fixture(scope="module")
def good(tmp_path_factory, data_dir):
    """A finished run of fgan.py, as bytes of its checkpoint."""
    import fgan

    folder = tmp_path_factory.mktemp("good") / "run"
    fgan.train(
        fgan.Hyperparameters(steps=4, batch_size=8, out=str(folder), data_dir=data_dir, G_hidden=16, V_hidden=16)
    )
    return (folder / "checkpoint.pt").read_bytes()


class Bomb:
    """Unpickling it would leave a file behind."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def refused(command_line, tmp_path, content: bytes) -> str:
    """What fgan.py says of such a checkpoint, to --sample and to --resume; it must refuse both in one line."""
    folder = tmp_path / "out/fgan"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint.pt").write_bytes(content)
    said = ""
    for flags in (("--sample", 4), ("--resume", "--steps", 9)):
        code, _, err = command_line("fgan", *flags)
        assert code == 1, err
        assert "Traceback" not in err
        assert err.count("\n") == 1
        said = err
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.pt"]
    assert (folder / "checkpoint.pt").read_bytes() == content
    return said


def test_cut_short_and_flipped(good, command_line, tmp_path):
    rng = random.Random(0)
    size = len(good)
    for _ in range(30):
        refused(command_line, tmp_path, good[: rng.randrange(size)])
    survived = 0
    for _ in range(60):
        damaged = bytearray(good)
        for _ in range(rng.choice((1, 1, 5, 50))):
            damaged[rng.randrange(size)] ^= 1 << rng.randrange(8)
        try:
            refused(command_line, tmp_path, bytes(damaged))
        except AssertionError:  # a bit between two entries of the archive, or in a time stamp, changes nothing
            folder = tmp_path / "out/fgan"
            shutil.rmtree(folder)
            folder.mkdir()
            (folder / "checkpoint.pt").write_bytes(damaged)
            ours = common.read_checkpoint(folder, "fgan", "cpu")["networks"]["G"]
            theirs = torch.load(io.BytesIO(good), weights_only=True)["networks"]["G"]
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
            survived += 1
    assert survived < 20


def test_foreign_files(good, command_line, tmp_path):
    trap = tmp_path / "executed"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("a.txt", "hello")
    bomb = io.BytesIO()
    torch.save({"script": "fgan", "step": 1, "hyperparameters": {}, "networks": Bomb(trap)}, bomb)
    numbers = io.BytesIO()
    np.savez(numbers, arr_0=np.zeros(3))
    foreign = [b"", b"PK", b"not a checkpoint", bytes(1000), os.urandom(5000), archive.getvalue(), numbers.getvalue()]
    foreign += [bomb.getvalue(), pickle.dumps(Bomb(trap)), (ROOT / "fgan.py").read_bytes()]
    for content in ([1, 2], {}, {"script": "fgan"}, {"script": 3, "step": 1, "hyperparameters": {}, "networks": {}}):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        foreign.append(buffer.getvalue())
    for content in foreign:
        refused(command_line, tmp_path, content)
    assert not trap.exists()


def test_other_contents(good, command_line, tmp_path):
    """Whole checkpoints that lie: every field in turn replaced by something else."""
    whole = torch.load(io.BytesIO(good), weights_only=True)
    wrong = []
    for value in (None, 3, "x", {}, [], torch.zeros(2)):
        wrong += [{**whole, "networks": {**whole["networks"], "G_average": value}}]
        wrong += [{**whole, "hyperparameters": {**whole["hyperparameters"], "z_dim": value}}]
        wrong += [{**whole, "hyperparameters": {**whole["hyperparameters"], "G_hidden": value}}]
    wrong += [
        {**whole, "hyperparameters": {**whole["hyperparameters"], name: value}}
        for name, value in (("z_dim", -3), ("z_dim", 10**15), ("divergence", "x"), ("unknown", 1), ("image_size", -1))
    ]
    wrong += [{**whole, "script": "dcgan"}, {**whole, "script": "../x"}]
    for content in wrong:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        refused(command_line, tmp_path, buffer.getvalue())


def test_evaluate_refuses(good, tmp_path):
    options = evaluate.Options(targets=("x",), data_dir=str(tmp_path))
    device = torch.device("cpu")

    def refuses(words: str) -> None:
        with pytest.raises(common.UserError, match=words) as error:
            evaluate.load_samples(str(target), options, device)
        assert "\n" not in str(error.value)

    target = tmp_path / "nothing"
    refuses("no such run folder")
    target = tmp_path / "nothing.npz"
    refuses("there is no")
    target = tmp_path / "empty"
    target.mkdir()
    refuses("there is no .*checkpoint.pt")
    whole = torch.load(io.BytesIO(good), weights_only=True)
    for script in ("unknown", "../fgan", "evaluate", "common", "os"):
        torch.save({**whole, "script": script}, target / "checkpoint.pt")
        refuses("written by")
    target = tmp_path / "a.npz"
    for arrays, words in [
        ({"images": np.zeros((200, 28, 28, 1), np.uint8)}, "has no arr_0"),
        ({"arr_0": np.zeros((200, 28, 28, 1), np.float32)}, "must be uint8"),
        ({"arr_0": np.zeros((200, 28, 28), np.uint8)}, "must be uint8"),
        ({"arr_0": np.zeros((200, 1, 28, 28), np.uint8)}, "must be uint8"),
        ({"arr_0": np.zeros((200, 28, 30, 1), np.uint8)}, "square"),
        ({"arr_0": np.array([{}, []], dtype=object)}, "no whole .npz"),
    ]:
        np.savez(target, **arrays)
        refuses(words)
    content = target.read_bytes()
    rng = random.Random(0)
    np.savez_compressed(target, arr_0=np.random.default_rng(0).integers(0, 255, (50, 8, 8, 1)).astype(np.uint8))
    content = target.read_bytes()
    for _ in range(40):
        target.write_bytes(content[: rng.randrange(len(content))])
        refuses("no whole .npz")


def test_damaged_idx_files(tmp_path, monkeypatch):
    """MNIST's files cut, flipped and exchanged; small stand-ins with their own checksums."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    contents = {}
    for i, name in enumerate(common.IDX_FILES["mnist"]):
        if "images" in name:
            contents[name] = bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 28, 0, 0, 0, 28]) + os.urandom(5 * 784)
        else:
            contents[name] = bytes([0, 0, 8, 1, 0, 0, 0, 5, 0, 1, 2, 3, i])
    import hashlib

    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setitem(common.IDX_FILES, "mnist", sums)

    def put(**changed) -> None:
        for name, content in {**contents, **changed}.items():
            (raw / name).write_bytes(content)

    put()
    assert common.load_images("mnist", str(tmp_path)).images.shape == (5, 1, 28, 28)
    rng = random.Random(0)
    for name, content in contents.items():
        for _ in range(15):
            damaged = bytearray(content)
            damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            for bad in (bytes(damaged), content[: rng.randrange(len(content))]):
                put(**{name: bad})
                with pytest.raises(common.UserError, match=f"{name} is damaged"):
                    common.load_images("mnist", str(tmp_path))


FLAGS = (
    "",
    " ",
    "-",
    "--",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "0x",
    "None",
    "[]",
    "'",
    "∞",
    "-1",
    "1.5",
    "9" * 30,
    "a\nb",
    "../..",
)


@pytest.mark.parametrize("script", ["began", "wgan_gp"])
def test_malformed_flags(script, command_line, tmp_path):
    """Every malformed value at flags of every type ends in an error of the command line, before any data is touched."""
    for name in ("--steps", "--batch-size", "--device", "--channels", "--network" if script == "began" else "--width"):
        for value in FLAGS:
            if name in ("--steps", "--batch-size", "--width") and value == "9" * 30:
                continue  # a valid number
            code, out, err = command_line(script, name, value)
            assert code == 2, (name, value, out, err)
            assert "Traceback" not in out + err
    for name in ("--lr", "--seed", "--betas", "--average"):
        for value in ("nan", "x", "-1", "inf" if name != "--betas" else "inf inf"):
            code, out, err = command_line(script, name, *value.split())
            assert code == 2, (name, value, out, err)
    assert list(tmp_path.iterdir()) == []
    assert command_line(script, *TINY, "--resume", "--overwrite")[0] == 2
