"""Folders of images of any size, format and state."""

import importlib
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SCRIPTS, TINY, colour_shape, small
from PIL import Image

import common
from evaluation.image_files import read_pictures
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


def write_png16(path: Path, values: np.ndarray) -> None:
    """A PNG of 16 bits per number, which Pillow can't write in colour; values: H×W, or H×W×3."""
    height, width = values.shape[:2]

    def piece(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = piece(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2 if values.ndim == 3 else 0, 0, 0, 0))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + piece(b"IDAT", zlib.compress(rows)) + piece(b"IEND", b""))


RAMP = np.arange(64).reshape(8, 8) / 63


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("kind", ["grey", "colour", "tiff", "pgm"])
def test_numbers_of_more_than_8_bits_are_scaled_by_what_the_folder_holds(kind, top, tmp_path):
    """The brightest image says how many bits are in use; a darker one beside it stays darker."""
    for name, share in (("a", 1.0), ("b", 0.25)):
        values = (RAMP * top * share).round().astype(np.uint16)
        if kind == "tiff":
            Image.fromarray(values).save(tmp_path / f"{name}.tif")
        elif kind == "pgm":
            head = f"P5 8 8 {top}\n".encode()
            (tmp_path / f"{name}.pgm").write_bytes(head + values.astype(np.uint8 if top == 255 else ">u2").tobytes())
        else:
            write_png16(tmp_path / f"{name}.png", values if kind == "grey" else np.stack([values] * 3, -1))
    bright, dark = common.load_images(str(tmp_path), str(tmp_path / "kept"), image_size=8).images[:, 0].float()
    tolerance = max(1.0, 256 * 256 / top) if kind == "colour" else 1.0  # Pillow gives the upper 8 bits of colours
    assert (bright - torch.from_numpy(RAMP * 255)).abs().max() <= tolerance
    assert (dark - torch.from_numpy(RAMP * 255 / 4)).abs().max() <= tolerance
    assert torch.equal(read_pictures(tmp_path)[:, 0].float(), torch.stack([bright, dark]))


def test_fractions_are_no_black_images(tmp_path):
    for name, values in (("a", RAMP), ("b", np.where(RAMP > 0.5, np.nan, RAMP))):
        Image.fromarray(values.astype(np.float32)).save(tmp_path / f"{name}.tif")
    images = common.load_images(str(tmp_path), str(tmp_path / "kept"), image_size=8).images
    assert images[0, 0, -1, -1] == 255
    assert images[1].max() in (125, 126)


@pytest.mark.parametrize("reader", ["training", "evaluation"])
def test_linked_folders_are_followed_and_a_circle_ends(reader, tmp_path, capfd):
    (tmp_path / "far/deep").mkdir(parents=True)
    (tmp_path / "pics").mkdir()
    for i in range(6):
        place = tmp_path / ("pics", "far", "far/deep")[i % 3]
        colour_shape((16, 16), i).save(place / f"{i}.png")
    (tmp_path / "pics/linked").symlink_to(tmp_path / "far")
    (tmp_path / "far/deep/circle").symlink_to(tmp_path / "pics")
    (tmp_path / "far/itself").symlink_to(tmp_path / "far/itself")
    (tmp_path / "pics/one.png").symlink_to(tmp_path / "pics/gone.png")
    if reader == "training":
        images = common.load_images(str(tmp_path / "pics"), str(tmp_path / "kept"), 16).images
    else:
        images = read_pictures(tmp_path / "pics")
    assert len(images) == 6
    (line,) = capfd.readouterr().out.splitlines()
    for words in ("1 link to a folder that is read already", "1 .png", "1 file without an ending"):
        assert words in line


@pytest.mark.parametrize("reader", ["training", "evaluation"])
def test_all_that_pillow_reads_is_read_and_the_rest_counted(reader, tmp_path, capfd):
    endings = [
        ".PNG",
        ".jpg",
        ".JPEG",
        ".tif",
        ".gif",
        ".pgm",
        ".ppm",
        ".jfif",
        ".jp2",
        ".avif",
        ".webp",
        ".bmp",
        ".tga",
    ]
    folder = tmp_path / "pics"
    folder.mkdir()
    for i, ending in enumerate(list(endings)):
        image = colour_shape((16, 16), i)
        try:
            image.convert("L" if ending == ".pgm" else "RGB").save(folder / f"{i}{ending}")
        except (OSError, KeyError):  # this Pillow has no such encoder
            endings.remove(ending)
    for name in ("a.heic", "b.heic", "labels.csv", "unnamed", ".hidden", "half.png"):
        (folder / name).write_bytes(b"\0\0\0\x18ftypheic" * 9)
    if reader == "training":
        images = common.load_images(str(folder), str(tmp_path / "kept"), 16).images
    else:
        images = read_pictures(folder)
    assert len(endings) >= 11
    assert images.shape == (len(endings), 3, 16, 16)
    out = capfd.readouterr().out
    assert "not read: 2 .heic, 1 .csv, 1 file without an ending" in out
    assert f"skipped 1 of {len(endings) + 1} files that can't be read as images: {folder / 'half.png'}" in out
    assert out.count("\n") == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.heic").touch()
    with pytest.raises(common.UserError, match=r"no images there, subfolders too; there lie 1 \.heic"):
        folders.find_images(tmp_path / "other", "--data other")


def test_one_colour_image_among_many_grey_ones(tmp_path):
    """Wherever it is: no sample of the files decides."""
    for i in range(250):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i:03}.png")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "127.png")
    images = common.load_images(str(tmp_path), str(tmp_path / "kept"), 8).images
    assert images.shape == (250, 3, 8, 8)
    assert images[127, :, 0, 0].tolist() == [255, 0, 0]
    assert read_pictures(tmp_path).shape == (250, 3, 8, 8)


def test_what_is_enlarged_or_has_more_pictures_is_said(tmp_path, capfd, recwarn, monkeypatch):
    for i in range(5):
        Image.new("L", (4 if i < 3 else 40, 40), i).save(tmp_path / f"{i}.png")
    frames = [Image.new("L", (40, 40), i) for i in range(3)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # a bomb, for Pillow: it warns, and reads it
    common.load_images(str(tmp_path), str(tmp_path / "kept"), 40)
    out, err = capfd.readouterr()
    assert out.startswith("3 images are smaller than 40×40 and are enlarged; of 1 files that hold several pictures")
    assert out.count("\n") == 1
    assert not recwarn.list
    assert "Warning" not in err


def copied(folder: Path, place: Path) -> Path:
    """The same images elsewhere, under other names, with another date."""
    place.mkdir(parents=True)
    for path in folder.iterdir():
        (place / f"x{path.name}").write_bytes(path.read_bytes())
        os.utime(place / f"x{path.name}", (1, 1))
    return place


def test_a_run_goes_on_with_the_same_images_whatever_they_are_called(command_line, tmp_path):
    pics = tmp_path / "pics"
    pics.mkdir()
    for i in range(9):
        colour_shape((16, 16), i).save(pics / f"{i}.bmp")
    (tmp_path / "linked").symlink_to(pics)
    flags = ("fgan", *TINY[2:], *small("fgan"), "--image-size", 16, "--data-dir", "kept", "--out", "run")
    assert command_line(*flags, "--steps", 2, "--data", "pics", data=False)[0] == 0
    elsewhere = copied(pics, tmp_path / "a b" / "moved")
    for steps, data in enumerate(("pics/", "./pics", pics, "linked", "a b/../pics", elsewhere, "a b/moved"), 3):
        code, _, err = command_line(*flags, "--steps", steps, "--data", data, "--resume", data=False)
        assert code == 0, err
    assert len(list((tmp_path / "kept/prepared").iterdir())) == 1
    content = bytearray((elsewhere / "x3.bmp").read_bytes())
    content[-1] ^= 1  # one bit; size and date stay
    (elsewhere / "x3.bmp").write_bytes(content)
    os.utime(elsewhere / "x3.bmp", (1, 1))
    code, _, err = command_line(*flags, "--steps", 10, "--data", "a b/moved", "--resume", data=False)
    assert code == 1
    assert "now there is other images of that name: give the same images with --data" in err
    (pics / "broken.png").write_bytes(b"")  # no image: the images are the same
    assert command_line(*flags, "--steps", 10, "--data", "pics", "--resume", data=False)[0] == 0
    checkpoint = torch.load("run/checkpoint.pt", weights_only=True)
    del checkpoint["identity"]  # one of before
    torch.save(checkpoint, "run/checkpoint.pt")
    code, _, err = command_line(*flags, "--steps", 11, "--data", "pics/", "--resume", data=False)
    assert code == 0, err


@pytest.mark.parametrize("name", ["x" * 240, "a:b?c*|", "né\n\t", "日本語" * 25, "..dots..", "CON", "-9-px", "%s{0}"])
def test_a_folder_of_any_name(name, tmp_path):
    (tmp_path / name).mkdir()
    colour_shape((16, 16), 0).save(tmp_path / name / "a.png")
    assert common.load_images(str(tmp_path / name), str(tmp_path / "kept"), 16).images.shape == (1, 3, 16, 16)
    (cache,) = (tmp_path / "kept/prepared").iterdir()
    assert len(cache.name.encode()) < 255
    assert not set(cache.name) & set('<>:"/\\|?*\n\t')
    assert common.load_images(str(tmp_path / name), str(tmp_path / "kept"), 16).identity in cache.name


@pytest.mark.parametrize("script", SCRIPTS)
def test_names_of_data_that_are_nearly_right(script, command_line, tmp_path, monkeypatch):
    for name, hint in (("MNIST", "mnist"), ("Fashion_MNIST", "fashion-mnist")):
        code, _, err = command_line(script, "--data", name, data=False)
        assert code == 2
        assert f"did you mean {hint}?" in " ".join(err.replace("│", " ").split())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "pics").mkdir()
    hp = importlib.import_module(script).Hyperparameters(data="~/pics", out="~/run", data_dir="~/data")
    assert [hp.data, hp.out, hp.data_dir] == [str(tmp_path / name) for name in ("pics", "run", "data")]


@pytest.mark.parametrize("name", ["kept", "kept/prepared"])
def test_a_file_where_a_folder_is_meant(name, tmp_path):
    (tmp_path / "pics").mkdir()
    colour_shape((16, 16), 0).save(tmp_path / "pics/a.png")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("a file")
    with pytest.raises(common.UserError, match=f"{name} .*--data-dir|--data-dir .*{name}"):
        common.load_images(str(tmp_path / "pics"), str(tmp_path / "kept"))


def test_a_prepared_file_that_is_damaged_or_no_file(tmp_path):
    (tmp_path / "pics").mkdir()
    colour_shape((16, 16), 0).save(tmp_path / "pics/a.png")
    common.load_images(str(tmp_path / "pics"), str(tmp_path / "kept"), 16)
    (cache,) = (tmp_path / "kept/prepared").iterdir()
    cache.write_bytes(b"")
    with pytest.raises(common.UserError, match=r"\.u8 is damaged: delete it"):
        common.load_images(str(tmp_path / "pics"), str(tmp_path / "kept"), 16)
    cache.unlink()
    cache.mkdir()
    with pytest.raises(common.UserError, match=r"prepared: Is a directory|Permission denied"):
        common.load_images(str(tmp_path / "pics"), str(tmp_path / "kept"), 16)
