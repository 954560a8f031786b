"""--fid-every: what it writes, what it never changes, how it goes on."""

import numpy as np
import pytest
import torch
from conftest import TINY, assert_same_run, colour_shape, small
from PIL import Image

import evaluate
from evaluation import curve
from training import log
from training.earlier import read_checkpoint

FLAGS = ("--fid-every", 2)


@pytest.fixture
def few(known, monkeypatch):
    """Fewer samples, for time."""
    monkeypatch.setattr(curve, "COUNT", 120)


def test_it_changes_nothing_that_is_learned(command_line, tmp_path, few, capfd):
    assert command_line("dcgan", *TINY, *small("dcgan"))[0] == 0
    code, out, err = command_line("dcgan", *TINY, *small("dcgan"), *FLAGS, "--out", "out/with")
    assert code == 0, err
    assert_same_run(tmp_path / "out/dcgan", tmp_path / "out/with")
    points = curve.read_points(tmp_path / "out/with/fid.csv")["fid"]
    assert points[0] == [2, 4, 6]
    assert all(value > 10 for value in points[1])
    assert out.count("a point costs") == 1
    assert "fewer than ten for each of 128 features" in out
    assert not (tmp_path / "out/dcgan/fid.csv").exists()


def test_the_last_point_is_the_fid_of_evaluate(command_line, tmp_path, few, data_dir):
    assert command_line("fgan", *TINY, *small("fgan"), *FLAGS)[0] == 0
    value = curve.read_points(tmp_path / "out/fgan/fid.csv")["fid"][1][-1]
    assert evaluate.measure("out/fgan", samples=120, data_dir=data_dir)["fid"] == pytest.approx(value, rel=1e-4)


def test_random_numbers_and_the_mode_of_g_stay(known, tmp_path, data_dir, few):
    import fgan

    hp = fgan.Hyperparameters(out=str(tmp_path), data_dir=data_dir, image_size=28, channels=1)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    hp.fid_every = 1
    points = curve.FidCurve(hp, known.train.images, lambda seed, n: known.test.images[:n] / 127.5 - 1, 0)
    points.after_step(1)
    assert points.steps == [1]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_that_was_stopped_has_the_same_curve(command_line, tmp_path, few):
    whole = ("fgan", *TINY[2:], *small("fgan"), "--steps", 12, *FLAGS)
    assert command_line(*whole, "--out", "out/whole")[0] == 0
    assert command_line("fgan", *TINY[2:], *small("fgan"), "--steps", 5, *FLAGS)[0] == 0
    path = tmp_path / "out/fgan/fid.csv"
    with path.open("a", encoding="utf-8", newline="") as stream:
        stream.write("6,1.0\r\n")  # after the checkpoint: of a run that was killed
    assert command_line(*whole, "--resume")[0] == 0
    assert path.read_bytes() == (tmp_path / "out/whole/fid.csv").read_bytes()
    assert curve.read_points(path)["fid"][0] == [2, 4, 6, 8, 10, 12]


def test_a_run_that_began_without_it_goes_on_with_it(command_line, tmp_path, few):
    assert command_line("fgan", *TINY, *small("fgan"))[0] == 0
    path = tmp_path / "out/fgan/checkpoint.pt"
    checkpoint = read_checkpoint(tmp_path / "out/fgan", "fgan")
    del checkpoint["hyperparameters"]["fid_every"]  # written before there was such a flag
    torch.save(checkpoint, path)
    code, _, err = command_line("fgan", *TINY[2:], *small("fgan"), "--steps", 8, "--resume", *FLAGS)
    assert code == 0, err
    assert curve.read_points(tmp_path / "out/fgan/fid.csv")["fid"][0] == [8]


def test_without_labels_it_is_named_so(command_line, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    for i in range(210):
        colour_shape((16, 16), i).save(tmp_path / "mine" / f"{i}.png")
    flags = ("--data", "mine", "--image-size", 16, "--data-dir", "kept", *FLAGS)
    code, out, err = command_line("wgan_gp", *TINY, "--width", 4, "--hidden", 16, *flags, data=False)
    assert code == 0, err
    assert "fid_random" in out
    assert (tmp_path / "out/wgan_gp/fid.csv").read_text(encoding="utf-8").startswith("step,fid_random\n2,")
    assert list(curve.read_points(tmp_path / "out/wgan_gp/fid.csv")) == ["fid_random"]


def test_too_few_images_and_a_wrong_number(command_line, tmp_path):
    (tmp_path / "mine").mkdir()
    for i in range(9):
        colour_shape((16, 16), i).save(tmp_path / "mine" / f"{i}.png")
    flags = ("--data", "mine", "--image-size", 16, "--data-dir", "kept", *FLAGS)
    code, _, err = command_line("wgan_gp", *TINY, "--width", 4, "--hidden", 16, *flags, data=False)
    assert code == 1
    assert err.strip().splitlines()[-1] == "wgan_gp.py: --fid-every 2: 4 real images to compare with; needed are 100"
    assert command_line("fgan", *TINY, *small("fgan"), "--fid-every", -1)[0] == 2


def test_what_is_no_curve_is_none(tmp_path):
    path = tmp_path / "fid.csv"
    assert curve.read_points(path) == {}
    for text in ("", "step,fid\n1\n", "step,fid\none,2\n", "step,other\n1,2\n"):
        path.write_text(text, encoding="utf-8")
        assert curve.read_points(path) == {}


def test_it_has_a_panel_in_the_curves(tmp_path):
    steps, columns = [1, 2, 3], {"loss_D": [1.0, 2, 3]}
    widths = []
    for points in ({}, {"fid": ([], [])}, {"fid": ([2, 3], [50.0, 40.0])}):
        log.save_curves(steps, columns, tmp_path / "curves.png", points)
        picture = np.asarray(Image.open(tmp_path / "curves.png").convert("L"))
        widths.append(np.flatnonzero((picture < 128).any(0)))
    assert np.array_equal(widths[0], widths[1])
    assert not np.array_equal(widths[1], widths[2])
