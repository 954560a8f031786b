"""Pixels to numbers and back."""

import torch
from PIL import Image

import common
from training import pictures


def test_float_and_back():
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    values = common.to_float(every)
    assert values.min() == -1
    assert values.max() == 1
    assert torch.equal(common.to_uint8(values), every)
    assert common.to_uint8(torch.tensor([-5.0, 5.0])).tolist() == [0, 255]


def test_no_frames_make_no_animation(tmp_path):
    pictures.save_animation({}, tmp_path / "training.gif")
    assert not list(tmp_path.iterdir())


def test_a_grid_that_cant_be_read_is_left_out_of_the_animation(tmp_path, capsys):
    grids = {step: tmp_path / f"{step}.png" for step in (0, 10, 20)}
    for step, path in grids.items():
        Image.new("RGB", (58, 58), (step, 0, 0)).save(path)
    whole = grids[0].read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no picture"):
        grids[10].write_bytes(damaged)
        pictures.save_animation(grids, tmp_path / "training.gif")
        assert Image.open(tmp_path / "training.gif").n_frames == 2
        said = "".join(capsys.readouterr())
        assert len(said.splitlines()) == 1
        assert "10.png can't be read, so training.gif is without it" in said
    pictures.save_animation({10: grids[10]}, tmp_path / "none.gif")
    assert not (tmp_path / "none.gif").exists()


def test_an_animation_shows_as_much_of_the_beginning_as_of_the_end(tmp_path):
    grids = {}
    for step in (0, 10, 20, 50, 100, *range(250, 15_001, 250)):
        grids[step] = tmp_path / f"{step}.png"
        Image.new("RGB", (58, 58), (step % 251, step // 251, 0)).save(grids[step])
    pictures.save_animation(grids, tmp_path / "training.gif")
    animation = Image.open(tmp_path / "training.gif")
    durations = []
    for frame in range(animation.n_frames):
        animation.seek(frame)
        durations.append(animation.info["duration"])
    assert 20 <= animation.n_frames <= 40
    assert animation.size == (58, 78)  # with a line for the step
    assert 3000 <= sum(durations[:-1]) <= 5000
    assert durations[-1] == 2000


def test_images_that_are_evenly_spaced():
    images = torch.arange(10).view(10, 1, 1, 1)
    assert pictures.some(images, 4).flatten().tolist() == [0, 3, 6, 9]
    assert len(pictures.some(images, 99)) == 10
    assert pictures.checksum(images) == pictures.checksum(images.clone()) != pictures.checksum(images + 1)
