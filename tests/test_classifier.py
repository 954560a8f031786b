"""The classifier behind the metrics: good, kept, and made anew when it is of something else."""

import torch

from workshop import classifier, datasets

CPU = torch.device("cpu")


def test_the_classifier_is_good_and_kept(known, data_dir):
    *_, logits = classifier.classify(known.classifier, known.test.images, CPU)
    accuracy = (logits.argmax(1) == known.test.labels).double().mean().item()
    assert accuracy >= (0.985 if len(known.train.images) == 60_000 else 0.95)
    again = classifier.load_classifier(known.train, known.test, "mnist", data_dir, CPU)
    for a, b in zip(again.state_dict().values(), known.classifier.state_dict().values()):
        assert torch.equal(a, b)


def test_a_classifier_of_something_else_is_not_used(known, tmp_path, monkeypatch, capsys):
    trained = []
    monkeypatch.setattr(classifier, "train_classifier", lambda *a: trained.append(1))
    for _ in range(2):
        classifier.load_classifier(known.train, known.test, "mnist", str(tmp_path), CPU)
    assert len(trained) == 1
    fewer = datasets.Dataset(known.train.images[:100], known.train.labels[:100], "fewer")
    classifier.load_classifier(fewer, known.test, "mnist", str(tmp_path), CPU)
    assert len(trained) == 2
    (path,) = tmp_path.glob("classifier*.pt")
    path.write_bytes(path.read_bytes()[:1000])
    classifier.load_classifier(fewer, known.test, "mnist", str(tmp_path), CPU)
    assert len(trained) == 3
    assert "can't be read" in capsys.readouterr().out
