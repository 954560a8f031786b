"""The features that the metrics compare: of a small classifier, trained once on a data set with labels and kept; of a
network that was never trained, for images without labels. Not here: the metrics."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from training.datasets import Dataset
from training.files import UserError, first_line, make_folder, write_by
from training.machine import choose_device
from training.pictures import to_float


def choose_device_to_measure(name: str) -> torch.device:
    """As choose_device, but no mps: it can't pool the classifier's maps (github.com/pytorch/pytorch/issues/96056)."""
    device = choose_device(name)
    return torch.device("cpu") if device.type == "mps" else device


class Classifier(nn.Module):
    """Images N×C×H×W in [-1, 1] to features (N×128), maps (N×256) and logits (N×classes).

    The one by whose FID the defaults of the scripts are chosen: to these settings that FID is a little too kind. The
    one by which nothing is chosen is in second.py.
    """

    kind = "classifier"

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            *(nn.Conv2d(channels, 32, 5, stride=2, padding=2), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(7)),
        )
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU())
        self.head = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.maps(x)
        features = self.features(maps)
        return features, F.adaptive_avg_pool2d(maps, 2).flatten(1), self.head(features)


def load_classifier(
    train: Dataset,
    test: Dataset,
    name: str,
    data_dir: str,
    device: torch.device,
    network: type[nn.Module] = Classifier,
    seed: int = 0,
):
    """The classifier of a data set: the one kept under `data_dir` if it was trained on the same, else a new one."""
    images, labels = train.images, train.labels
    steps = min(1200, 12 * len(images) // 128 + 1)  # of a small set no more than twelve passes
    made_of = {
        "data": train.source,
        "count": len(images),
        "steps": steps,
        "shape": list(images.shape[1:]),
        "seed": seed,
        "torch": str(torch.__version__),
    }
    classifier = network(images.shape[1], int(labels.max()) + 1).to(device)
    path = Path(data_dir) / f"{network.kind.replace(' ', '-')}-{name}-{images.shape[1]}x{images.shape[2]}.pt"
    if path.exists():
        try:
            kept = torch.load(path, map_location=device, weights_only=True)
            if kept["made_of"] == made_of:
                classifier.load_state_dict(kept["weights"])
                return classifier.eval()
        except Exception as error:  # a damaged file can raise nearly anything; making it anew mends it
            print(f"{path} can't be read ({first_line(error)}): training the classifier again")
    train_classifier(classifier, images.to(device), labels.to(device), steps, seed)
    right = sum(
        (classify(classifier, x, device)[2].argmax(1) == y).sum().item()
        for x, y in zip(test.images.split(1000), test.labels.to(device).split(1000))
    )
    accuracy = right / len(test.images)
    content = {"made_of": made_of, "accuracy": accuracy, "weights": classifier.state_dict()}
    try:
        make_folder(path.parent, "--data-dir")
        write_by(path, lambda file: torch.save(content, file))
        kept = f"kept in {path}"
    except UserError as error:  # such as data that many users share, and none may write
        kept = f"not kept, so it will be trained again next time: {error}"
    print(f"{network.kind}: {accuracy:.2%} right on {len(test.images):,} held-out images; {kept}")
    return classifier.eval()


def train_classifier(classifier: nn.Module, images: Tensor, labels: Tensor, steps: int, seed: int = 0) -> None:
    """Adam with a one-cycle learning rate, batches of 128: at most a minute on two cores."""
    torch.manual_seed(seed)
    for module in classifier.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    optimizer = torch.optim.Adam(classifier.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for _ in tqdm(
        range(steps),
        desc=f"training the {classifier.kind}",
        mininterval=0.5 if sys.stderr.isatty() else 30,
    ):
        index = torch.randint(len(images), (128,), device=images.device)
        loss = F.cross_entropy(classifier(to_float(images[index]))[2], labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def classify(classifier: nn.Module, images: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Features, maps and logits of uint8 images N×C×H×W, in eval mode."""
    classifier.eval()
    # Of images of one channel, strides can't tell N×H×W×C from N×C×H×W: a copy has one layout for all, or
    # convolutions would round the same images differently, depending on where they come from
    images = images.clone(memory_format=torch.contiguous_format)
    parts = [classifier(to_float(part.to(device))) for part in images.split(500)]
    features, maps, logits = zip(*parts)
    return torch.cat(features), torch.cat(maps), torch.cat(logits)


MAPS = (64, 64, 128)


class RandomFeatures(nn.Module):
    """Images N×C×H×W in [-1, 1] to N×256: how strongly each map of three layers reacts, on average over the image."""

    def __init__(self, channels: int) -> None:
        """He's initial weights, always the same ones."""
        super().__init__()
        self.layers = nn.ModuleList()
        generator = torch.Generator().manual_seed(0)
        for before, after, side in zip((channels, *MAPS), MAPS, (5, 3, 3)):
            layer = nn.Conv2d(before, after, side, stride=2, padding=side // 2, bias=False)
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            self.layers.append(layer)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        means = []
        for layer in self.layers:
            x = layer(x).relu()
            means.append(x.mean((2, 3)))
        return torch.cat(means, dim=1)


def random_features(images: Tensor, device: torch.device) -> Tensor:
    """Those of uint8 images N×C×H×W: N×256."""
    network = RandomFeatures(images.shape[1]).to(device)
    images = images.clone(memory_format=torch.contiguous_format)  # one layout for all, as for the classifier
    return torch.cat([network(to_float(part.to(device))) for part in images.split(500)])
