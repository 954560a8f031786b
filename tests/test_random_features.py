"""An untrained network's features order what is wrong with images; they are the same everywhere."""

import pytest
import torch
from torch.nn import functional as F

import common
from evaluation.features import random_features
from evaluation.metrics import fid
from evaluation.reference import Reference
from training.datasets import Dataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured(data_dir):
    """fid_random of real images and of real images with one fault each; the other half is compared with."""
    digits = common.load_images("mnist", data_dir)
    chosen = torch.randperm(len(digits.images), generator=torch.Generator().manual_seed(0))[:1000]
    images, labels = digits.images[chosen].expand(-1, 3, -1, -1), digits.labels[chosen]
    reference = Reference(Dataset(images, None, "digits"), Dataset(images, None, "digits"), "digits", "", CPU)
    real = reference.test.images
    generator = torch.Generator().manual_seed(0)

    def noisy(amount):
        return (real + amount * torch.randn(real.shape, generator=generator)).clamp(0, 255).to(torch.uint8)

    def blurred(side):
        padded = F.pad(real.float(), (side // 2,) * 4, mode="replicate")
        return F.avg_pool2d(padded, side, stride=1).to(torch.uint8)

    five = images[labels < 5]
    versions = {
        "real": real,
        **{"noise 10": noisy(10), "noise 40": noisy(40), "blur 3": blurred(3), "blur 7": blurred(7)},
        "colours": (real.float() + torch.tensor([60.0, 0, -60]).view(3, 1, 1)).clamp(0, 255).to(torch.uint8),
        "half": five[torch.randint(len(five), (len(real),), generator=generator)],
        "one": real[:1].expand(len(real), -1, -1, -1),
    }
    features = {name: random_features(images, CPU) for name, images in versions.items()}
    theirs = random_features(reference.compared, CPU)
    return reference.measure(real, 5), {name: fid(theirs, ours) for name, ours in features.items()}


def test_the_order(measured):
    numbers, fids = measured
    assert numbers["fid_random"] == fids["real"]
    assert all(2 * fids["real"] < fids[name] for name in ("noise 10", "blur 3", "colours")), fids
    assert fids["noise 10"] < fids["noise 40"]
    assert fids["blur 3"] < fids["blur 7"]
    assert 1.2 * fids["real"] < fids["half"] < fids["one"]


def test_what_needs_labels_is_null(measured):
    numbers, _ = measured
    assert {name for name, value in numbers.items() if value is None} == {
        *("fid", "fid_second", "kid", "inception_score", "classes", "class_share")
    }


def test_features_are_the_same_whatever_the_batch_the_layout_and_the_seed():
    images = torch.randint(0, 256, (600, 3, 16, 16)).to(torch.uint8)
    torch.manual_seed(1)
    found = random_features(images, CPU)
    torch.manual_seed(2)
    again = random_features(images.to(memory_format=torch.channels_last), CPU)
    assert torch.equal(found, again)
    assert torch.allclose(random_features(images[:7], CPU), found[:7], atol=1e-5)
