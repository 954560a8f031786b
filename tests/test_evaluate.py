"""The command: runs, .npz files, folders of pictures, many seeds."""

import dataclasses
import io
import json
import random
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, TINY, small
from PIL import Image

import common
import evaluate
from evaluation import inversion, report, tables
from evaluation.reference import SCALARS, drawn
from evaluation.results import Column
from training.earlier import load_generator, read_checkpoint


def test_a_run_an_npz_and_a_folder_of_pictures_agree(command_line, tmp_path, data_dir, known):
    assert command_line("dcgan", *TINY, *small("dcgan"))[0] == 0
    assert command_line("dcgan", "--sample", 200)[0] == 0
    folder = tmp_path / "out/dcgan"
    with np.load(folder / "samples.npz") as archive:
        images = archive["arr_0"]
    (tmp_path / "pngs").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[:, :, 0]).save(tmp_path / "pngs" / f"{i:04}.png")
    options = evaluate.Options(targets=("x",), samples=200, data_dir=data_dir)
    references = {("mnist", (1, 28, 28), data_dir): known}
    targets = (folder, folder / "samples.npz", tmp_path / "pngs")
    run, npz, pictures = (evaluate.evaluate(str(target), options, references).numbers for target in targets)
    assert npz == pictures
    assert run == npz | {name: run[name] for name in ("inversion", "inversion_own")}
    assert 0 < run["inversion_own"] < run["inversion"]
    for target, numbers in ((folder, run), (tmp_path / "pngs", pictures)):  # and again
        assert evaluate.evaluate(str(target), options, references).numbers == numbers
    assert len(list((tmp_path / "pngs").iterdir())) == 200
    keys = {*SCALARS, "class_share", "samples", "features", "k"}
    for path in (folder / "metrics.json", folder / "samples.metrics.json", tmp_path / "pngs.metrics.json"):
        written = json.loads(path.read_text(encoding="utf-8"))
        of_runs = {"inversion", "inversion_own"} if path.parent == folder and path.name == "metrics.json" else set()
        assert written.keys() == keys | {"floor", "data"} | of_runs
        assert written["floor"].keys() == keys
        assert written["samples"] == written["floor"]["samples"] == 200
    for path in (folder / "evaluate.png", folder / "samples.evaluate.png", tmp_path / "pngs.evaluate.png"):
        assert min(Image.open(path).size) > 300


def test_images_without_labels_get_what_can_be_had(tmp_path, data_dir, command_line, capfd):
    digits = common.load_images("mnist", data_dir).images[:400]
    (tmp_path / "mine").mkdir()
    for i, image in enumerate(digits):
        Image.fromarray(image[0].numpy()).save(tmp_path / "mine" / f"{i}.png")
    code, _, err = command_line(
        "wgan_gp", *TINY, *small("wgan_gp"), "--data", "mine", "--image-size", 28, "--data-dir", "kept", data=False
    )
    assert code == 0, err
    options = evaluate.Options(targets=("x",), samples=200, data_dir="kept")
    numbers = evaluate.evaluate("out/wgan_gp", options, {}).numbers
    assert numbers["fid"] is None
    assert numbers["fid_random"] > 5 * numbers["floor"]["fid_random"] > 0
    assert numbers["classes"] is None
    assert 0 <= numbers["precision"] <= 1
    assert numbers["floor"]["recall"] > 0.3
    assert numbers["memorisation"] > 0
    out = capfd.readouterr().out
    assert "no classifier" in out
    assert "random convolutions" in out
    assert "it learned from" not in out
    (tmp_path / "mine").rename(tmp_path / "moved")
    with pytest.raises(common.UserError, match="--data mine: no images there"):
        evaluate.evaluate("out/wgan_gp", options, {})
    found = evaluate.evaluate("out/wgan_gp", dataclasses.replace(options, data="moved"), {}).numbers
    assert found["fid_random"] == pytest.approx(numbers["fid_random"])
    assert "it learned from" not in capfd.readouterr().out  # the same images, whatever their folder is called
    (tmp_path / "moved").rename(tmp_path / "mine")
    report.compare([Column("out/wgan_gp", [evaluate.evaluate("out/wgan_gp", options, {})])], options)
    table = [line.split()[0] for line in capfd.readouterr().out.splitlines()]
    assert "fid_random" in table
    assert "fid" not in table


def test_pictures_that_are_sorted_by_class_are_drawn_from_all_of_them(tmp_path, data_dir, known):
    digits = common.load_images("mnist", data_dir)
    images = digits.images[digits.labels.argsort()].permute(0, 2, 3, 1)
    np.savez(tmp_path / "sorted.npz", arr_0=images.numpy())
    options = evaluate.Options(targets=("x",), samples=200, data_dir=data_dir)
    numbers = evaluate.evaluate(
        str(tmp_path / "sorted.npz"), options, {("mnist", (1, 28, 28), data_dir): known}
    ).numbers
    assert numbers["classes"] == 10


def test_a_folder_that_can_not_be_written_still_gets_numbers(tmp_path, data_dir, known, monkeypatch, capfd):
    def refuse(path, content):
        raise common.UserError(f"{path} can't be written: Permission denied")

    monkeypatch.setattr(evaluate, "write_file", refuse)
    np.savez(tmp_path / "a.npz", arr_0=common.load_images("mnist", data_dir).images[:200].permute(0, 2, 3, 1).numpy())
    options = evaluate.Options(targets=("x",), samples=200, data_dir=data_dir)
    numbers = evaluate.evaluate(str(tmp_path / "a.npz"), options, {("mnist", (1, 28, 28), data_dir): known}).numbers
    assert numbers["precision"] > 0.5
    assert "a.npz: its numbers are not kept: " in capfd.readouterr().out


def test_too_few_images(tmp_path, data_dir):
    np.savez(tmp_path / "few.npz", arr_0=np.zeros((20, 28, 28, 1), np.uint8))
    options = evaluate.Options(targets=("x",), data_dir=data_dir)
    with pytest.raises(common.UserError, match="20 images"):
        evaluate.evaluate(str(tmp_path / "few.npz"), options, {})


def test_seeds_on_the_command_line(tmp_path, data_dir, known, monkeypatch, capfd):
    flags = "--flags=--steps 3 --batch-size 8 --width 4 --hidden 16"
    words = ["--seeds", "2", flags, "--samples", "150", "--data-dir", data_dir]
    words += ["--table", "t.md"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *words, str(ROOT / "fgan.py")])
    monkeypatch.setattr(evaluate, "reference_for", lambda *_: known)
    monkeypatch.setattr(inversion, "STEPS", 3)
    monkeypatch.chdir(tmp_path)
    evaluate.main()
    out = capfd.readouterr().out
    lines = {line.split()[0]: line for line in reversed(out.splitlines()) if line.strip()}
    assert "n = 2" in out
    for name in ("fid", "kid", *tables.COLUMNS[1:], "seconds"):
        assert lines[name].count("±") == 1, name
    text = (tmp_path / "t.md").read_text(encoding="utf-8")
    assert text.count("±") == len(tables.COLUMNS) + 2  # kid stands first, as 150 samples are few; and the seconds
    assert (tmp_path / "out/seeds/fgan-1/metrics.json").exists()


def test_evaluate_refuses(good, tmp_path):
    options = evaluate.Options(targets=("x",), data_dir=str(tmp_path))
    device = torch.device("cpu")

    def refuses(words: str) -> None:
        with pytest.raises(common.UserError, match=words) as error:
            evaluate.load_samples(str(target), options, device)
        assert "\n" not in str(error.value)

    target = tmp_path / "nothing"
    refuses("nothing: there is no such run folder")
    target = tmp_path / "nothing.npz"
    refuses("there is no")
    target = tmp_path / "empty"
    target.mkdir()
    refuses("empty: no images there")
    for name in ("hyperparameters.json", "curves.png"):  # of a run without a checkpoint yet
        (target / name).touch()
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


def test_the_parzen_window_is_one_more_row(command_line, tmp_path, data_dir, known, capfd, monkeypatch):
    """With fewer samples than usual, for time; the other numbers do not change."""
    monkeypatch.setattr(evaluate, "PARZEN_SAMPLES", 300)
    assert command_line("dcgan", *TINY, *small("dcgan"))[0] == 0
    options = evaluate.Options(targets=("x",), samples=200, data_dir=data_dir)
    references = {("mnist", (1, 28, 28), data_dir): known}
    plain = evaluate.evaluate("out/dcgan", options, references)
    options.kde = True
    column = evaluate.evaluate("out/dcgan", options, references)
    numbers, floor = column.numbers, column.numbers["floor"]
    keys = {"kde_nats", "kde_error", "kde_bandwidth", "kde_samples"}
    assert numbers.keys() == plain.numbers.keys() | keys
    assert floor == plain.numbers["floor"] | {key: floor[key] for key in keys}
    assert numbers == plain.numbers | {key: numbers[key] for key in keys} | {"floor": floor}
    assert json.loads((tmp_path / "out/dcgan/metrics.json").read_text(encoding="utf-8")) == numbers
    assert numbers["kde_samples"] == floor["kde_samples"] == 300
    assert numbers["kde_nats"] < floor["kde_nats"] - 10 * floor["kde_error"]  # six steps against real digits
    capfd.readouterr()
    tables.print_table([Column("a", [column])])
    assert f"{floor['kde_nats']:.1f} ± {floor['kde_error']:.1f}" in capfd.readouterr().out
    assert "| classes | kde_nats | seconds |" in tables.as_markdown([Column("a", [column, column])])


def test_copies_are_said_and_k_counts(tmp_path, data_dir, known, capfd):
    references, said, numbers = {("mnist", (1, 28, 28), data_dir): known}, {}, {}
    for name, images in (("copies", known.train.images), ("new", known.test.images)):
        np.savez(tmp_path / f"{name}.npz", arr_0=drawn(images, 200).permute(0, 2, 3, 1).numpy())
        for k in (1, 5):
            options = evaluate.Options(targets=("x",), samples=200, k=k, data_dir=data_dir)
            numbers[name, k] = evaluate.evaluate(str(tmp_path / f"{name}.npz"), options, references).numbers
        said[name] = "copies, or blanks" in capfd.readouterr().out
    assert said == {"copies": True, "new": False}
    assert numbers["new", 1]["recall"] < numbers["new", 5]["recall"]


class Finished:
    """What train(hp) returns, as far as measure() uses it."""

    def __init__(self, G, hp, script: str) -> None:
        self.G, self.hp, self.script = G, hp, script

    def sample(self, n: int, seed: int = 0):
        return common.generate(self.G, common.noise_from_seed(seed, n, self.hp.z_dim))


def test_measure_gives_a_dictionary_and_says_nothing(command_line, tmp_path, data_dir, known, monkeypatch, capfd):
    """The same numbers for a run's folder, the run itself and its images; no file is written."""
    import fgan

    assert command_line("fgan", *TINY, *small("fgan"))[0] == 0
    monkeypatch.setitem(evaluate.REFERENCES, ("mnist", (1, 28, 28), data_dir), known)
    before = sorted((tmp_path / "out/fgan").iterdir())
    folder = evaluate.measure(Path("out/fgan"), samples=150, data_dir=data_dir)
    checkpoint = read_checkpoint(Path("out/fgan"), "fgan")
    G, hp = load_generator(checkpoint, fgan.Hyperparameters, fgan.Generator, torch.device("cpu"))
    hp.data_dir = data_dir
    run = Finished(G, hp, "fgan")
    assert evaluate.measure(run, samples=150) == folder
    images = run.sample(150)
    without = {name: value for name, value in folder.items() if not name.startswith("inversion")}
    assert evaluate.measure(images, data_dir=data_dir) == without
    array = common.to_uint8(images).permute(0, 2, 3, 1).numpy()
    assert evaluate.measure(array, data_dir=data_dir) == without
    assert folder["floor"]["fid"] > 0
    assert sorted((tmp_path / "out/fgan").iterdir()) == before
    assert capfd.readouterr().out == ""
    assert json.dumps(folder)
    with pytest.raises(ValueError, match="--k 0"):
        evaluate.measure(images, k=0)
    for wrong in (images[0], images[..., 1:], array.astype(float), [1, 2]):
        with pytest.raises(common.UserError, match=r"images must be|an array of images"):
            evaluate.measure(wrong, data_dir=data_dir)
    with pytest.raises(common.UserError, match="nowhere: there is no such run folder"):
        evaluate.measure("nowhere", data_dir=data_dir)


def test_the_help_says_what_each_number_means(monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--help"])
    with pytest.raises(SystemExit) as stop:
        evaluate.main()
    out = capfd.readouterr().out
    assert stop.value.code == 0
    for name in (*SCALARS, "inversion", "kde_nats"):
        assert re.search(rf"^    (\w+, )?{name}\b|, {name}  ", out, re.M), name


def test_a_list_of_no_runs(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    evaluate.main()
    assert capfd.readouterr().out.startswith("no runs in out")
    (tmp_path / "out/begun").mkdir(parents=True)
    (tmp_path / "out/begun/hyperparameters.json").touch()
    evaluate.main()
    assert "no checkpoint yet" in capfd.readouterr().out


def run_evaluate(monkeypatch, *words: object) -> str:
    """What the command says on refusing; nothing dear may have begun."""

    def dear(*_) -> None:
        raise AssertionError("begun before the targets were looked at")

    monkeypatch.setattr(evaluate, "load_samples", dear)
    monkeypatch.setattr(evaluate, "reference_for", dear)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        evaluate.main()
    assert "\n" not in str(stop.value)
    return str(stop.value)


def test_all_targets_are_looked_at_before_anything_dear(good, tmp_path, monkeypatch):
    """Whatever is wrong with the second is said before the first is measured."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/samples").mkdir(parents=True)
    (tmp_path / "run/checkpoint.pt").write_bytes(good)
    (tmp_path / "run/hyperparameters.json").touch()
    for i in range(120):
        Image.new("L", (466, 466), i).save(tmp_path / f"run/samples/{i:06}.png")
    (tmp_path / "grids").mkdir()
    (tmp_path / "few").mkdir()
    for i in range(110):
        Image.new("L", (466, 466), i).save(tmp_path / f"grids/{i}.png")
        if i < 4:
            Image.new("L", (28, 28), i).save(tmp_path / f"few/{i}.png")
    np.savez(tmp_path / "few.npz", arr_0=np.zeros((20, 28, 28, 1), np.uint8))
    np.savez(tmp_path / "large.npz", arr_0=np.zeros((120, 466, 466, 1), np.uint8))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/checkpoint.pt").write_bytes(good[:99])
    (tmp_path / "moved").mkdir()
    whole = torch.load(io.BytesIO(good), weights_only=True)
    whole["hyperparameters"]["data"] = "gone"
    torch.save(whole, tmp_path / "moved/checkpoint.pt")
    (tmp_path / "a_file").touch()
    for target, words in [
        ("run/samples", "which are grids: evaluate run itself"),
        (".", "which are grids: evaluate run itself"),
        ("grids", "images of 466 px are no digits: say with --data"),
        ("large.npz", "images of 466 px are no digits: say with --data"),
        ("few", "4 images to compare; needed are 100"),
        ("few.npz", "20 images to compare; needed are 100"),
        ("nothing", "no such run folder"),
        ("nothing.npz", "there is no nothing.npz"),
        ("a_file", "no such run folder"),
        ("x" * 300, "no such run folder"),
        ("broken", "no whole checkpoint"),
        ("moved", "its real images, gone, are not there: say with --data"),
    ]:
        assert words in run_evaluate(monkeypatch, "run", target)
    shutil.copytree("run", "again")
    assert "--compare" in run_evaluate(monkeypatch, "run", "again", "--compare", "a_file/x.png")
    assert "gone, are not there" in run_evaluate(monkeypatch, "run", "--data", "gone")
