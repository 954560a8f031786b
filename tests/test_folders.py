"""Folders of images of any size, format and state."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, colour_shape
from PIL import Image

import common
from training import folders


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


def test_a_folder_of_which_a_third_is_broken(tmp_path, capfd):
    """One line, and the rest is used; not a line for each file."""
    folder = tmp_path / "f"
    folder.mkdir()
    for i in range(6):
        colour_shape((40, 40), i).save(folder / f"{i}.png")
    for name in ("broken.png", "cut.png"):
        (folder / name).write_bytes((folder / "1.png").read_bytes()[:60])
    (folder / "text.jpg").write_text("no picture")
    dataset = common.load_images(str(folder), str(tmp_path))
    out, err = capfd.readouterr()
    assert len(dataset.images) == 6
    assert out.count("\n") == 1
    assert "skipped 3 of 9" in out
    assert "broken.png" in out
    assert "skipped" not in err


def test_a_folder_that_is_all_broken(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "text.jpg").write_text("no picture")
    with pytest.raises(common.UserError, match=r"none of the 1 images could be read: .*text\.jpg"):
        common.load_images(str(tmp_path / "f"), str(tmp_path))


def test_a_folder_without_images(tmp_path, command_line):
    (tmp_path / "empty").mkdir()
    code, _, err = command_line("fgan", "--data", "empty")
    assert code == 1
    assert "no images" in err
    assert err.count("\n") == 1


def test_a_large_set_is_memory_mapped(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "LARGE", 1000)
    dataset = common.load_images(str(shapes), str(tmp_path))
    assert dataset.mapping is not None
    monkeypatch.setattr(folders, "LARGE", 1 << 40)
    assert torch.equal(common.load_images(str(shapes), str(tmp_path)).images, dataset.images)
    before = dataset.images.clone()
    dataset.forget_pages()
    assert torch.equal(dataset.images, before)


def test_a_picture_that_is_too_large_to_be_one(tmp_path, capfd):
    """Pillow refuses to decode it, as a few kilobytes could fill the memory."""
    for i in range(4):
        colour_shape((20, 20), i).save(tmp_path / f"{i}.png")
    content = (tmp_path / "0.png").read_bytes()
    head = b"IHDR" + struct.pack(">II", 20_000, 20_000) + content[24:29]
    huge = content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]
    (tmp_path / "huge.png").write_bytes(huge)
    assert len(folders.load_folder(tmp_path, tmp_path / "kept", 8, 0).images) == 4
    assert "skipped 1 of 5" in capfd.readouterr().out


def test_a_folder_with_one_more_image_is_another_run(command_line, tmp_path):
    (tmp_path / "mine").mkdir()
    for i in range(5):
        colour_shape((20, 20), i).save(tmp_path / f"mine/{i}.png")
    flags = ("fgan", *TINY[2:], "--data", "mine", "--image-size", 16, "--data-dir", "kept")
    assert command_line(*flags, "--steps", 2, data=False)[0] == 0
    colour_shape((20, 20), 9).save(tmp_path / "mine/9.png")
    code, _, err = command_line(*flags, "--steps", 4, "--resume", data=False)
    assert code == 1
    assert "learned from 5 images" in err
