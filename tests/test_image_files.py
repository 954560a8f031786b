"""Images from an .npz file or a folder of PNGs, in either colour."""

import numpy as np
import pytest
from PIL import Image

from evaluation.image_files import read_npz, read_pictures
from training.files import UserError


@pytest.mark.parametrize("channels", [1, 3])
def test_both_kinds_hold_the_same_images(channels, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, channels), np.uint8)
    np.savez(tmp_path / "a.npz", arr_0=images)
    for i, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(tmp_path / f"{i}.png")
    expected = images.transpose(0, 3, 1, 2)
    assert (read_npz(tmp_path / "a.npz").numpy() == expected).all()
    assert (read_pictures(tmp_path).numpy() == expected).all()


def test_pictures_of_different_sizes_or_damaged(tmp_path, capfd):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    Image.new("L", (9, 9)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"square and of one size; found 8×8, 9×9 \(width×height\)"):
        read_pictures(tmp_path)
    for name in "ab":
        Image.new("L", (40, 28)).save(tmp_path / f"{name}.png")
    with pytest.raises(UserError, match=r"found 40×28 \(width"):
        read_pictures(tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert read_pictures(tmp_path).shape == (1, 1, 8, 8)
    assert "skipped 1 of 2 files that can't be read as images" in capfd.readouterr().out


def test_pictures_are_read_as_for_training(tmp_path):
    """16-bit grey keeps its shades, what is transparent is white."""
    Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)).save(tmp_path / "deep.png")
    assert (read_pictures(tmp_path).numpy() == 128).all()
    (tmp_path / "deep.png").unlink()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_pictures(tmp_path).numpy() == 255).all()


def test_an_npy_that_is_called_npz(tmp_path):
    with (tmp_path / "a.npz").open("wb") as stream:
        np.save(stream, np.zeros((4, 8, 8, 1), np.uint8))
    with pytest.raises(UserError, match=r"a\.npz is no whole \.npz file"):
        read_npz(tmp_path / "a.npz")
