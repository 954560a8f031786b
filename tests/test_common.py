"""What a lesson calls: the grid, sampling, the command line, a run and its files."""

import csv
import dataclasses
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SCRIPTS, TINY, assert_same_run, small, tensors
from PIL import Image
from torch import nn

import common
from training import earlier
from training.datasets import Dataset

every_script = pytest.mark.parametrize("script", SCRIPTS)


@pytest.mark.parametrize(
    ("n", "channels", "size", "side"), [(64, 1, 28, 8), (100, 3, 32, 10), (10, 1, 64, 4), (2, 3, 8, 2)]
)
def test_grid_geometry(n, channels, size, side):
    images = torch.full((n, channels, size, size), -1.0)
    images[0] = 1
    picture = np.asarray(common.grid(images))
    cell = size * max(1, 56 // size)
    rows = -(-n // side)
    assert picture.shape == (2 + rows * (cell + 2), 2 + side * (cell + 2), 3)
    assert (picture[2 : 2 + cell, 2 : 2 + cell] == 255).all()  # the first image is white, inside its frame
    assert (picture[:2] == 128).all()

    assert (picture[2 : 2 + cell, 4 + cell : 4 + 2 * cell] == 0).all()


def test_generate_uses_eval_mode_and_restores_it():
    G = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = {k: v.clone() for k, v in G.state_dict().items()}
    out = common.generate(G, torch.randn(7, 2), batch=3)
    assert out.shape == (7, 3)
    assert G.training
    assert all(torch.equal(v, before[k]) for k, v in G.state_dict().items())


def test_generate_uint8_is_the_same_in_bytes():
    G, z = nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (1, 2, 2)), nn.Tanh()), torch.randn(1100, 2)
    assert torch.equal(common.generate_uint8(G, z), common.to_uint8(common.generate(G, z)))


def test_a_run_must_not_lie_among_its_own_training_images(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    for data, out in (("photos", "photos/run"), (".", "out/dcgan"), ("photos", "photos")):
        with pytest.raises(ValueError, match=f"--out {out}: must be outside of --data {re.escape(data)}"):
            common.Options(data=data, out=out)
    common.Options(data="photos", out="photos-run")


WRONG = [
    ("began", ("--gamma", "2"), "--gamma 2.0", "(0, 1]"),
    ("began", ("--batch-size", "1"), "--batch-size 1", "at least 2"),
    ("began", ("--steps", "-1"), "--steps -1", "at least 1"),
    ("began", ("--seed", str(2**63)), "--seed 9223372036854775808", "below"),
    ("began", ("--gama", "0.5"), "--gama", "--gamma"),
    ("began", ("--data", "nowhere"), "--data nowhere", "mnist"),
    ("began", ("--steps", "many"), "--steps", "int"),
    ("began_conv", ("--image-size", "31"), "--image-size 31", "power of 2"),
    ("began", ("--eta", "3"), "--eta", "'2'"),
    ("began", ("--lambda-k", "-1"), "--lambda-k -1.0", "0 or more"),
    ("began", ("--k-start", "2"), "--k-start 2.0", "[0, 1]"),
    ("began", ("--lr-D", "-1"), "--lr-D -1.0", "above 0"),
    ("began_conv", ("--head-start", "-1"), "--head-start -1", "0 or more"),
    ("wgan", ("--c", "0"), "--c 0.0", "above 0"),
    ("wgan", ("--n-critic", "0"), "--n-critic 0", "at least 1"),
    ("wgan_gp", ("--lambda-gp", "-1"), "--lambda-gp -1.0", "0 or more"),
    ("dcgan", ("--image-size", "31"), "--image-size 31", "power of 2"),
    ("dcgan", ("--betas", "0.5", "1"), "--betas", "[0, 1)"),
    ("dcgan", ("--lr-G", "nan"), "--lr-G nan", "above 0"),
    ("fgan", ("--divergence", "wasserstein"), "--divergence wasserstein", "squared_hellinger"),
    ("fgan", ("--alpha", "1"), "--alpha 1.0", "but 0 and 1"),
    ("fgan", ("--alpha", "0"), "--alpha 0.0", "but 0 and 1"),
    ("fgan", ("--pi", "1"), "--pi 1.0", "(0, 1)"),
    ("fgan", ("--device", "tpu"), "--device", "cuda"),
    ("fgan", ("--seed", "-1"), "--seed -1", "0 or more"),
    ("fgan", ("--out", " "), "--out ' '", "name of a folder"),
    ("fgan", ("--out", "a\0b"), r"--out 'a\x00b'", "name of a folder"),
    ("fgan", ("--data", "\udcff"), "--data ?", "existing folder"),
    ("fgan", ("--data", 300 * "a"), "--data 'aaa", "the name of a folder"),
]


@pytest.mark.parametrize(("script", "arguments", "named", "allowed"), WRONG)
def test_a_wrong_flag_is_named_and_nothing_is_written(script, arguments, named, allowed, command_line, tmp_path):
    code, out, err = command_line(script, *arguments)
    text = re.sub(r"[│╭╰─\s]+", " ", out + err)
    assert code == 2
    assert named in text
    assert allowed in text
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", 300 * "a"])
def test_what_can_not_be_a_path_is_refused(name):
    for field in ("out", "data_dir"):
        with pytest.raises(ValueError, match=f"{common.flag(field)} .*: must be the name of a folder"):
            common.Options(**{field: name})


@every_script
def test_help_lists_every_hyperparameter_with_meaning_and_default(script, command_line):
    code, out, _ = command_line(script, "--help")
    text = re.sub(r"[│╭╰─\s]+", " ", out)
    assert code == 0
    for field in dataclasses.fields(importlib.import_module(script).Hyperparameters):
        flag = common.flag(field.name)
        assert flag in text
        default = str(field.default).strip("()").replace(",", "")
        start = re.search(rf"{flag}( [A-Z]+| \{{|,)", text).end()
        meaning, _, rest = text[start:].partition("(default:")
        assert len(meaning.split()) >= 3, flag
        assert rest.strip().startswith(default), (flag, rest[:30])


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
    for name in ("--steps", "--batch-size", "--device", "--channels", "--eta" if script == "began" else "--width"):
        for value in FLAGS:
            if name in ("--steps", "--batch-size", "--width") and value == "9" * 30:
                continue  # a valid number
            code, out, err = command_line(script, name, value)
            assert code == 2, (name, value, out, err)
            assert "Traceback" not in out + err
    for name in ("--lr-G", "--lr-D", "--seed", "--betas", "--ema"):
        for value in ("nan", "x", "-1", "inf" if name != "--betas" else "inf inf"):
            code, out, err = command_line(script, name, *value.split())
            assert code == 2, (name, value, out, err)
    assert list(tmp_path.iterdir()) == []


def test_options_are_known_to_every_script():
    shared = {f.name for f in dataclasses.fields(common.Options)} | {"steps", "batch_size", "seed"}
    for script in SCRIPTS:
        assert shared <= {f.name for f in dataclasses.fields(importlib.import_module(script).Hyperparameters)}
        assert importlib.import_module(script).Hyperparameters().out == f"out/{script}"


@every_script
def test_a_run_leaves_its_files(script, command_line, tmp_path):
    code, out, _ = command_line(script, *TINY, *small(script), "--ema", 0)  # so that each frame of training.gif differs
    folder = tmp_path / "out" / script
    assert code == 0, out
    names = {"samples.png", "log.csv", "curves.png", "training.gif", "checkpoint.pt", "hyperparameters.json", "samples"}
    names |= {"run.json", "real.png"} | ({"reconstructions", "reconstructions.png"} if "began" in script else set())
    assert {p.name for p in folder.iterdir()} == names
    assert sorted(p.name for p in (folder / "samples").iterdir()) == ["000000.png", "000003.png", "000006.png"]
    rows = list(csv.DictReader((folder / "log.csv").open(encoding="utf-8")))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert all(np.isfinite(float(v)) for row in rows for v in row.values())
    assert Image.open(folder / "training.gif").n_frames == 3
    hyperparameters = json.loads((folder / "hyperparameters.json").read_text(encoding="utf-8"))
    assert hyperparameters["steps"] == 6
    assert hyperparameters["image_size"] == 28
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert {"script", "step", "hyperparameters", "networks", "optimizers", "state", "log"} <= checkpoint.keys()
    assert {"G", "D", "G_ema"} == checkpoint["networks"].keys()
    assert not list(tmp_path.rglob("*.part"))


@every_script
def test_same_seed_same_tensors(script, command_line, tmp_path):
    for out in ("a", "b"):
        assert command_line(script, *TINY, *small(script), "--out", out)[0] == 0
    assert command_line(script, *TINY, *small(script), "--out", "c", "--seed", 1)[0] == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")
    a, c = (tensors(earlier.read_checkpoint(tmp_path / x, None)["networks"]) for x in "ac")
    first = next(name for name in a if name.startswith("/G/"))
    assert not torch.equal(a[first], c[first])


def test_an_ordinary_step_does_no_file_work_and_no_host_synchronisation(command_line, tmp_path, monkeypatch):
    """Between two logging intervals nothing is written, and no tensor becomes a Python number."""
    opened, synced = [], []
    watching = {"on": False}
    real_real = common.Run.real

    def real(self):
        watching["on"] = 2 <= self.step <= 7
        return real_real(self)

    monkeypatch.setattr(common.Run, "real", real)
    for name in ("item", "tolist", "__float__", "__bool__", "__int__", "numpy", "cpu"):
        original = getattr(torch.Tensor, name)

        def spy(self, *a, _name=name, _original=original, **k):
            # PyTorch's optimizers look at their own step counters, which live on the CPU
            if watching["on"] and "torch/optim" not in Path(sys._getframe(1).f_code.co_filename).as_posix():
                synced.append(_name)
            return _original(self, *a, **k)

        monkeypatch.setattr(torch.Tensor, name, spy)
    real_open = Path.open

    def noted_open(self, *a, **k):
        if watching["on"]:
            opened.append(self)
        return real_open(self, *a, **k)

    monkeypatch.setattr(Path, "open", noted_open)
    for script in SCRIPTS:
        opened.clear(), synced.clear()
        watching["on"] = False
        flags = (
            "--steps",
            9,
            "--batch-size",
            8,
            "--log-every",
            9,
            "--sample-every",
            9,
            "--out",
            f"out/{script}",
            *small(script),
        )
        code, _, err = command_line(script, *flags)
        watching["on"] = False
        assert code == 0, err
        assert not opened
        assert not synced, script


@every_script
def test_sampling(script, command_line, tmp_path):
    assert command_line(script, *TINY, *small(script), "--ema", 0)[0] == 0  # the EMA has not heard of z so early
    folder = tmp_path / "out" / script
    files = {}
    for seed in (0, 0, 1):
        code, _, err = command_line(script, "--sample", 120, "--sample-seed", seed, "--data-dir", "nowhere", data=False)
        assert code == 0, err
        with np.load(folder / "samples.npz") as archive:
            assert archive.files == ["arr_0"]
            files.setdefault(seed, []).append(archive["arr_0"])
    assert files[0][0].shape == (120, 28, 28, 1)
    assert files[0][0].dtype == np.uint8
    assert (files[0][0] == files[0][1]).all()
    assert (files[0][0] != files[1][0]).any()
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_of_pictures_and_a_walk(command_line, tmp_path):
    assert command_line("fgan", *TINY, *small("fgan"), "--image-size", 32, "--channels", 3)[0] == 0
    folder = tmp_path / "out/fgan"
    for count in (12, 7):  # those of an earlier time go
        code, out, err = command_line("fgan", "--sample", count, "--png")
        assert code == 0, err
        assert str(Path("out/fgan/generated")) in out
        pictures = sorted((folder / "generated").iterdir())
        assert [p.name for p in pictures] == [f"{i:06d}.png" for i in range(count)]
        with np.load(folder / "samples.npz") as archive:
            assert all((np.asarray(Image.open(p)) == image).all() for p, image in zip(pictures, archive["arr_0"]))
    assert command_line("dcgan", *TINY, *small("dcgan"))[0] == 0
    assert command_line("dcgan", "--sample", 2, "--png", "--walk")[0] == 0
    assert Image.open(tmp_path / "out/dcgan/generated/000001.png").mode == "L"
    walk = Image.open(tmp_path / "out/dcgan/walk.gif")  # in grey, for colours take a second per ten frames
    assert (walk.n_frames, walk.size) == (60, (2 + 5 * 58, 2 + 5 * 58))
    for flag in ("--png", "--walk"):
        code, _, err = command_line("dcgan", flag)
        assert (code, err) == (2, f"dcgan.py: {flag} without --sample: must be given with --sample N\n")


def test_a_walk_is_made_of_noise_as_in_training_and_ends_where_it_began():
    z = common.walk(0, 50, 200, 16)
    assert z.shape == (50, 200, 16)
    assert torch.allclose(z[0], 1 - 2 * common.noise_from_seed(0, 200, 16).abs(), atol=1e-6)
    steps = (z - z.roll(1, 0)).abs()
    assert steps.max().item() == pytest.approx(4 / 50, abs=1e-5)  # also from the last to the first
    for moment in z[::10].flatten(1):
        assert abs(moment.mean().item()) < 0.05
        assert moment.std().item() == pytest.approx(3**-0.5, rel=0.05)


def test_what_a_run_was_made_with(command_line, tmp_path, monkeypatch):
    assert command_line("fgan", *TINY, *small("fgan"))[0] == 0
    folder = tmp_path / "out/fgan"
    made = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert made["torch"] == str(torch.__version__)
    assert made["command"].startswith("python fgan.py --steps 6")
    assert (made["images"][1:], made["precision"] in ("float32", "bfloat16")) == ([1, 28, 28], True)
    assert re.search("[0-9a-f]{64}$", made["checksum"])
    assert made["commit"] is None or re.fullmatch("[0-9a-f]{40}", made["commit"])
    monkeypatch.setenv("PATH", "")  # no git
    assert command_line("fgan", *TINY[2:], *small("fgan"), "--steps", 8, "--resume")[0] == 0
    again = json.loads((folder / "run-6.json").read_text(encoding="utf-8"))
    assert (again["commit"], again["clean"], again["checksum"]) == (None, None, made["checksum"])
    assert json.loads((folder / "run.json").read_text(encoding="utf-8")) == made


def test_hyperparameters_of_the_samples_are_those_of_the_run(command_line, tmp_path):
    assert command_line("dcgan", *TINY, "--image-size", 32, "--channels", 3, "--width", 4, "--z-dim", 7)[0] == 0
    assert command_line("dcgan", "--sample", 3)[0] == 0
    with np.load(tmp_path / "out/dcgan/samples.npz") as archive:
        assert archive["arr_0"].shape == (3, 32, 32, 3)


def test_pictures_are_of_the_average_and_of_the_same_noise(command_line, tmp_path):
    import dcgan

    folder = tmp_path / "out/dcgan"
    for step in (3, 6):
        assert (
            command_line("dcgan", *TINY, *small("dcgan"), "--ema", 0.9, "--steps", step, *["--resume"] * (step > 3))[0]
            == 0
        )
        checkpoint = earlier.read_checkpoint(folder, "dcgan")
        G, hp = earlier.load_generator(checkpoint, dcgan.Hyperparameters, dcgan.Generator, torch.device("cpu"))
        G_ema, now = checkpoint["networks"]["G_ema"], checkpoint["networks"]["G"]
        assert all(torch.equal(value, G_ema[name]) for name, value in G.state_dict().items())
        assert any(not torch.equal(G_ema[name], now[name]) for name in now if now[name].is_floating_point())
        picture = common.grid(common.generate_uint8(G, common.noise_from_seed(hp.seed, 64, hp.z_dim)))
        assert np.array_equal(np.asarray(picture), np.asarray(Image.open(folder / f"samples/{step:06}.png")))


def test_images_noise_and_epsilon_are_drawn_from_all_there_is(tmp_path, monkeypatch):
    import dcgan

    number = torch.arange(1000)
    images = torch.zeros(1000, 1, 8, 8, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = (number // 256).byte(), (number % 256).byte()
    monkeypatch.setattr(common, "load_images", lambda *_: Dataset(images, None, "numbers"))
    run = common.Run(dcgan.Hyperparameters(batch_size=500, out=str(tmp_path / "run"), device="cpu"))
    seen = common.to_uint8(torch.cat([run.real() for _ in range(40)])).long()
    counts = (256 * seen[:, 0, 0, 0] + seen[:, 0, 0, 1]).bincount(minlength=1000)
    assert len(counts) == 1000
    assert 3 <= counts.min() <= counts.max() <= 45  # 20 expected
    z, epsilon = (torch.cat([draw() for _ in range(5)]) for draw in (run.noise, run.epsilon))
    assert z.min() < -0.99
    assert z.max() > 0.99
    assert abs(z.mean()) < 0.01
    assert z.std().item() == pytest.approx(3**-0.5, rel=0.02)
    assert epsilon.mean().item() == pytest.approx(0.5, abs=0.03)
    run.record.close()


def test_seconds_go_on_counting(command_line, tmp_path):
    assert command_line("fgan", *TINY, *small("fgan"))[0] == 0
    path = tmp_path / "out/fgan/checkpoint.pt"
    torch.save({**torch.load(path, weights_only=True), "seconds": 1000.0}, path)
    assert command_line("fgan", *TINY[2:], *small("fgan"), "--steps", 7, "--resume")[0] == 0
    assert torch.load(path, weights_only=True)["seconds"] > 1000
