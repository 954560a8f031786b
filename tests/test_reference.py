"""Each metric against real images whose faults are known, and the classifier behind them."""

import pytest
import torch
from torch import nn

from evaluation.reference import Reference, drawn
from training.datasets import Dataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured(known):
    """The numbers of real images and of real images with one fault each."""
    count = min(1000, len(known.test.images))
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


def test_copies_are_called_out_without_labels_too(known):
    """A folder has no held-out part, so the run has seen all of it: also the half that stands in for one."""
    folder = Dataset(known.train.images[::40], None, "digits without labels")
    reference = Reference(folder, folder, "folder", "nowhere", CPU)
    floor = reference.floor(300, 5)["memorisation"]
    assert floor > 0.05
    assert reference.measure(folder.images[:300], 5)["memorisation"] == 0
