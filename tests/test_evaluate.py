"""evaluate.py: each metric against an oracle, and against images whose faults are known."""

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import torch
from conftest import ROOT, TINY
from PIL import Image
from torch import nn

import common
import evaluate

CPU = torch.device("cpu")


def test_fid_equals_the_formula_with_scipys_root():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(3000, 20)) @ generator.normal(size=(20, 20))
    b = generator.normal(size=(3000, 20)) @ generator.normal(size=(20, 20)) + 0.5
    sa, sb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sa + sb - 2 * scipy.linalg.sqrtm(sa @ sb).real)
    found = evaluate.fid(torch.from_numpy(a).float(), torch.from_numpy(b).float())
    assert found == pytest.approx(expected, rel=1e-3)


def test_kid_equals_the_unbiased_estimator():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(500, 8, generator=generator), torch.randn(500, 8, generator=generator) * 1.2 + 0.3

    def kernel(x, y):
        return (x.double() @ y.double().T / 8 + 1) ** 3

    n = 500
    within = sum((kernel(x, x).sum() - kernel(x, x).diagonal().sum()) / (n * (n - 1)) for x in (a, b))
    expected = (within - 2 * kernel(a, b).mean()).item()
    assert evaluate.kid(a, b) == pytest.approx(expected, rel=1e-3)


def test_inception_score_of_sure_and_unsure_logits():
    sure = 50 * torch.eye(10).repeat(100, 1)
    assert evaluate.inception_score(sure[torch.randperm(1000)]) == pytest.approx(10, rel=0.06)
    assert evaluate.inception_score(torch.zeros(1000, 10)) == pytest.approx(1)
    assert evaluate.inception_score(50 * torch.eye(10)[:1].repeat(1000, 1)) == pytest.approx(1)


def test_the_published_check_of_precision_recall_density_coverage():
    """Two samples of N(0, I) in 1000 dimensions, n = 10,000, k = 5."""
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(10_000, 1000, generator=generator) for _ in range(2))
    found = evaluate.neighbourhoods(real, fake, k=5)
    assert found["precision"] == pytest.approx(0.48, abs=0.04)
    assert found["recall"] == pytest.approx(0.47, abs=0.04)
    assert found["density"] == pytest.approx(1.06, abs=0.06)
    assert found["coverage"] == pytest.approx(0.97, abs=0.02)


def test_neighbourhoods_by_hand():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    fake = torch.tensor([[0.5], [3.0], [30.0], [31.0]])
    found = evaluate.neighbourhoods(real, fake, k=1)
    # radii of real: 1, 1, 1, 8. 0.5 lies in the balls of 0 and 1; 3 in those of 2 and 10; 30 and 31 in none
    assert found["precision"] == pytest.approx(0.5)
    assert found["density"] == pytest.approx(4 / (1 * 4))
    assert found["coverage"] == pytest.approx(1.0)
    # radii of fake: 2.5, 2.5, 1, 1, which reach 0, 1, 2 and not 10
    assert found["recall"] == pytest.approx(0.75)


def test_nearest_by_hand():
    distance, index = evaluate.nearest(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 0.2]]))
    assert index.tolist() == [1, 0]
    assert distance.tolist() == pytest.approx([0.2 / np.sqrt(2), 0.0])


@pytest.fixture(scope="module")
def reference(data_dir):
    return evaluate.Reference("mnist", torch.Size((1, 28, 28)), data_dir, CPU)


@pytest.fixture(scope="module")
def measured(reference):
    """The numbers of real images and of real images with one fault each."""
    count = min(1000, len(reference.test.images))
    real = reference.test.images[:count]
    generator = torch.Generator().manual_seed(0)

    def noisy(images, amount):
        noise = amount * torch.randn(images.shape, generator=generator)
        return (images.float() + noise).clamp(0, 255).to(torch.uint8)

    blur = nn.functional.avg_pool2d(nn.functional.pad(real.float(), (2, 2, 2, 2)), 5, stride=1).to(torch.uint8)
    ones = reference.train.images[reference.train.labels == 1]
    versions = {
        "real": real,
        "noisy": noisy(real, 120.0),
        "blurred": blur,
        "one class": ones[torch.randint(len(ones), (count,), generator=generator)],
        "duplicates": torch.cat([real[: count - count // 10], real[: count // 10]]),
        "copies": reference.train.images[torch.randperm(len(reference.train.images), generator=generator)[:count]],
        "pure noise": torch.randint(0, 256, real.shape, generator=generator).to(torch.uint8),
    }
    return {name: reference.measure(images, 5) for name, images in versions.items()}, reference.floor(count, 5)


def test_real_images_are_at_the_floor(measured):
    numbers, floor = measured
    assert numbers["real"] == floor


def test_each_metric_reacts_to_what_it_is_for(measured):
    numbers, floor = measured
    fid = {name: values["fid"] for name, values in numbers.items()}
    assert fid["real"] <= fid["duplicates"] * 1.05
    assert fid["duplicates"] < fid["noisy"] < fid["pure noise"]
    assert fid["duplicates"] < fid["blurred"] < fid["pure noise"]
    assert fid["duplicates"] < fid["one class"]
    assert numbers["one class"]["recall"] < 0.3 * floor["recall"]
    assert numbers["one class"]["coverage"] < 0.3 * floor["coverage"]
    assert numbers["one class"]["precision"] > 0.8 * floor["precision"]
    assert numbers["one class"]["classes"] == 1
    assert numbers["one class"]["inception_score"] < 2 < 8 < floor["inception_score"]
    assert numbers["noisy"]["precision"] < 0.5 * floor["precision"]
    assert numbers["pure noise"]["precision"] < 0.05
    assert numbers["blurred"]["density"] < 0.5 * floor["density"]
    assert numbers["pure noise"]["kid"] > numbers["noisy"]["kid"] > floor["kid"]
    assert floor["classes"] == 10
    assert sum(floor["class_share"]) == pytest.approx(1)


def test_copies_of_the_training_set_are_called_out(measured):
    numbers, floor = measured
    assert numbers["copies"]["memorisation"] < 0.01 * floor["memorisation"]
    assert numbers["real"]["memorisation"] == floor["memorisation"] > 0.05


def test_the_classifier_is_good_and_kept(reference, data_dir):
    *_, logits = evaluate.classify(reference.classifier, reference.test.images, CPU)
    accuracy = (logits.argmax(1) == reference.test.labels).double().mean().item()
    assert accuracy >= (0.985 if len(reference.train.images) == 60_000 else 0.95)
    again = evaluate.load_classifier(reference.train, reference.test, "mnist", data_dir, CPU)
    for a, b in zip(again.state_dict().values(), reference.classifier.state_dict().values()):
        assert torch.equal(a, b)


def test_a_classifier_of_something_else_is_not_used(reference, tmp_path, monkeypatch, capsys):
    trained = []
    monkeypatch.setattr(evaluate, "train_classifier", lambda *a: trained.append(1))
    for _ in range(2):
        evaluate.load_classifier(reference.train, reference.test, "mnist", str(tmp_path), CPU)
    assert len(trained) == 1
    fewer = common.Dataset(reference.train.images[:100], reference.train.labels[:100], "fewer")
    evaluate.load_classifier(fewer, reference.test, "mnist", str(tmp_path), CPU)
    assert len(trained) == 2
    (path,) = tmp_path.glob("classifier*.pt")
    path.write_bytes(path.read_bytes()[:1000])
    evaluate.load_classifier(fewer, reference.test, "mnist", str(tmp_path), CPU)
    assert len(trained) == 3
    assert "can't be read" in capsys.readouterr().out


def test_a_run_an_npz_and_a_folder_of_pictures_agree(command_line, tmp_path, data_dir):
    assert command_line("dcgan", *TINY)[0] == 0
    assert command_line("dcgan", "--sample", 200)[0] == 0
    folder = tmp_path / "out/dcgan"
    with np.load(folder / "samples.npz") as archive:
        images = archive["arr_0"]
    (tmp_path / "pngs").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[:, :, 0]).save(tmp_path / "pngs" / f"{i:04}.png")
    options = evaluate.Options(targets=("x",), samples=200, data_dir=data_dir)
    references: dict = {}
    targets = (folder, folder / "samples.npz", tmp_path / "pngs")
    run, npz, pictures = (evaluate.evaluate(str(target), options, references) for target in targets)
    assert run == npz == pictures
    assert evaluate.evaluate(str(folder), options, {}) == run  # and again
    keys = {"fid", "kid", "inception_score", "precision", "recall", "density", "coverage", "classes", "class_share"}
    keys |= {"memorisation", "samples"}
    for path in (folder / "metrics.json", folder / "samples.metrics.json", tmp_path / "pngs/metrics.json"):
        written = json.loads(path.read_text())
        assert written.keys() == keys | {"floor"}
        assert written["floor"].keys() == keys
        assert written["samples"] == written["floor"]["samples"] == 200
    for path in (folder / "evaluate.png", folder / "samples.evaluate.png", tmp_path / "pngs/evaluate.png"):
        assert min(Image.open(path).size) > 300


def test_images_without_labels_get_what_can_be_had(tmp_path, data_dir, command_line, capfd):
    digits = common.load_images("mnist", data_dir).images[:400]
    (tmp_path / "mine").mkdir()
    for i, image in enumerate(digits):
        Image.fromarray(image[0].numpy()).save(tmp_path / "mine" / f"{i}.png")
    code, _, err = command_line("wgan_gp", *TINY, "--data", "mine", "--image-size", 28)
    assert code == 0, err
    options = evaluate.Options(targets=("x",), samples=200, data_dir=data_dir)
    numbers = evaluate.evaluate("out/wgan_gp", options, {})
    assert numbers["fid"] is None
    assert numbers["classes"] is None
    assert 0 <= numbers["precision"] <= 1
    assert numbers["floor"]["recall"] > 0.3
    assert numbers["memorisation"] > 0
    assert "no classifier" in capfd.readouterr().out


def test_too_few_images(tmp_path, data_dir):
    np.savez(tmp_path / "few.npz", arr_0=np.zeros((20, 28, 28, 1), np.uint8))
    options = evaluate.Options(targets=("x",), data_dir=data_dir)
    with pytest.raises(common.UserError, match="20 images"):
        evaluate.evaluate(str(tmp_path / "few.npz"), options, {})


def test_seeds_on_the_command_line(tmp_path, data_dir):
    words = ["--seeds", "2", "--flags=--steps 3 --batch-size 8", "--samples", "150", "--data-dir", data_dir]
    command = [sys.executable, str(ROOT / "evaluate.py"), *words, str(ROOT / "fgan.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    row = done.stdout.strip().splitlines()[-1]
    assert row.count("±") == len(evaluate.COLUMNS) + 1
    assert (tmp_path / "out/seeds/fgan-1/metrics.json").exists()


def test_spread():
    assert evaluate.spread([1.0, 3.0]) == "2.00 ± 1.41"
    assert evaluate.spread([150.0, 170.0]) == "160 ± 14"
    assert evaluate.spread([None]) == "–"


def test_cells_of_the_table():
    assert [evaluate.in_table(n) for n in (None, 10_000, 0.12345, 1368.4)] == ["–", "10,000", "0.1235", "1368"]
