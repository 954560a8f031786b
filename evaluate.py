"""How good are the samples, how diverse, and how does that compare with real images?

    python evaluate.py out/began                      a finished run (or several)
    python evaluate.py samples.npz                    images from elsewhere: arr_0, uint8, N×H×W×C
    python evaluate.py folder_of_pngs                 the same as pictures
    python evaluate.py --seeds 5 began.py dcgan.py    train and evaluate over seeds: mean ± std

A GAN's losses say little about its samples and an eye sees a few dozen of them, so each number here
answers one question, and stands beside the *floor*: the same number for real images that no GAN has
seen, with the same sample counts. A generator can't be told from the data when it reaches the floor.

    fid         are the two clouds of features alike in mean and covariance? (Heusel 2017, 1706.08500)
    kid         the same by a kernel, unbiased for few samples (Bińkowski 2018, 1801.01401)
    inception_score  is each image surely of one class, and are all classes there? (Salimans 2016, 1606.03498)
    precision   share of samples inside the real data's neighbourhoods: quality
    recall      share of real images inside the samples' neighbourhoods: diversity (Kynkäänniemi 2019, 1904.06991)
    density, coverage  the same two questions, robust against outliers (Naeem 2020, 2002.09797)
    classes     how many classes the classifier finds among the samples, and class_share, how often each
    memorisation  median distance (RMS over pixels, which lie in [0, 1]) to the nearest training image:
                far below the floor means copies of the training set

Features are the last hidden layer (128 numbers) of a small classifier, trained here once on the labelled data
and kept under data/. Inception, which these metrics are named after, knows no digits. So the numbers compare
with each other, and not with those of papers. For the neighbourhoods the classifier's convolutional maps are
added (256 numbers): in the last layer alone pure noise is as close to digits as digits are to each other, with
a precision of 0.99; with the maps it is 0.00. A folder of images has no labels, hence no classifier: then the
neighbourhoods are those of the pixels, and fid, kid, inception_score and classes are null.
"""

import importlib
import io
import json
import os
import shlex
import subprocess
import sys
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance
from tqdm.auto import tqdm

import common
from common import UserError

warnings.filterwarnings("ignore", ".*will save all extracted features", UserWarning)  # they are few here

MAPS_WEIGHT = 8.0  # gives the maps a norm comparable with that of the features: 47 to 41 on MNIST

SCALARS = ("fid", "kid", "inception_score", "precision", "recall", "density", "coverage", "classes", "memorisation")
NEEDS_LABELS = ("fid", "kid", "inception_score", "classes")


@dataclass(kw_only=True)
class Options:
    """How good, how diverse, against what floor."""

    targets: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Run folders, .npz files or folders of PNGs; with --seeds: scripts."""
    samples: int = 10_000
    """Images to generate and to compare with. Fewer if there are fewer; metrics.json says how many."""
    sample_seed: int = 0
    """Of the noise."""
    k: int = 5
    """Neighbours that make a neighbourhood, for precision, recall, density and coverage."""
    data: str = "mnist"
    """What to compare images from elsewhere with. A run says itself what it was trained on."""
    data_dir: str = "data"
    """Folder in which data sets and the classifier are kept."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    seeds: int = 0
    """Above 0: the targets are scripts; train each with seeds 0, 1, … and report mean ± std."""
    flags: str = ""
    """With --seeds: further flags for the scripts, in one word: "--flags=--gamma 0.7"."""
    jobs: int = 1
    """With --seeds: trainings at a time, which share the cores."""
    out: str = "out/seeds"
    """With --seeds: the folder of the runs. Finished ones that are there are used, and not trained again."""

    def __post_init__(self) -> None:
        common.require(len(self.targets) > 0, "TARGETS", "()", "at least one")
        common.require(self.samples >= 100, "--samples", self.samples, "at least 100")
        common.require(1 <= self.k < 100, "--k", self.k, "in 1 to 99")
        common.require(self.seeds >= 0, "--seeds", self.seeds, "0 or more")
        common.require(self.jobs >= 1, "--jobs", self.jobs, "at least 1")


# --------------------------------------------------------------------------------------------------
# The metrics: functions of features, logits and pixels
# --------------------------------------------------------------------------------------------------


def fid(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance |μ − μ'|² + tr(Σ + Σ' − 2(ΣΣ')^½) between two sets of features, N×d."""
    metric = FrechetInceptionDistance(Features(real.shape[1]))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute())


def kid(real: Tensor, fake: Tensor) -> float:
    """Squared maximum mean discrepancy with a cubic kernel; the mean over 100 random subsets."""
    torch.manual_seed(0)
    size = min(1000, len(real), len(fake))
    metric = KernelInceptionDistance(Features(real.shape[1]), subset_size=size)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute()[0])


def inception_score(logits: Tensor) -> float:
    """exp E KL(p(y|x) ‖ p(y)), between 1 and the number of classes; the mean over 10 splits."""
    torch.manual_seed(0)
    metric = InceptionScore(Features(logits.shape[1]))
    metric.update(logits)
    return float(metric.compute()[0])


class Features(nn.Module):
    """What torchmetrics takes in place of an Inception network: here the features are ready."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.dummy = nn.Parameter(torch.zeros(0))

    def forward(self, features: Tensor) -> Tensor:
        return features


def neighbourhoods(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, float]:
    """precision, recall, density, coverage from N×d and M×d features.

    The neighbourhood of a point is the ball that reaches to its k-th nearest neighbour in its own set.
    """
    real_radius, fake_radius = radii(real, k), radii(fake, k)
    inside_real = torch.zeros(len(fake), dtype=torch.long, device=real.device)  # how many real balls hold each sample
    recalled, covered = [], []
    for points, radius in zip(real.split(1000), real_radius.split(1000)):
        distance = torch.cdist(points, fake)
        inside = distance <= radius[:, None]
        inside_real += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((distance <= fake_radius).any(1))
    return {
        "precision": (inside_real > 0).double().mean().item(),
        "recall": torch.cat(recalled).double().mean().item(),
        "density": inside_real.double().mean().item() / k,
        "coverage": torch.cat(covered).double().mean().item(),
    }


def radii(points: Tensor, k: int) -> Tensor:
    """Distance of each point to its k-th nearest neighbour; the nearest of all is the point itself."""
    return torch.cat([torch.cdist(part, points).kthvalue(k + 1, dim=1).values for part in points.split(1000)])


def nearest(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each row of N×d points, the RMS distance to the nearest of the M×d others, and its index."""
    found = []
    for part in points.split(500):
        # |a − b|² = |a|² − 2ab + |b|², of which |a|² does not decide who is nearest
        index = torch.addmm((others**2).sum(1), part, others.T, alpha=-2).argmin(1)
        found.append((((part - others[index]) ** 2).mean(1).sqrt(), index))
    distances, indices = zip(*found)
    return torch.cat(distances), torch.cat(indices)


# --------------------------------------------------------------------------------------------------
# The classifier
# --------------------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """Images N×C×H×W in [-1, 1] to features (N×128), maps (N×256) and logits (N×classes)."""

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


def load_classifier(train: common.Dataset, test: common.Dataset, name: str, data_dir: str, device: torch.device):
    """The classifier of a data set: the one kept under `data_dir` if it was trained on the same, else a new one."""
    images, labels = train.images, train.labels
    made_of = {
        "data": train.source,
        "count": len(images),
        "shape": list(images.shape[1:]),
        "seed": 0,
        "torch": str(torch.__version__),
    }
    classifier = Classifier(images.shape[1], int(labels.max()) + 1).to(device)
    path = Path(data_dir) / f"classifier-{name}-{images.shape[1]}x{images.shape[2]}.pt"
    if path.exists():
        try:
            kept = torch.load(path, map_location=device, weights_only=True)
            if kept["made_of"] == made_of:
                classifier.load_state_dict(kept["weights"])
                return classifier.eval()
        except Exception as error:  # a damaged file can raise nearly anything; making it anew mends it
            print(f"{path} can't be read ({common.first_line(error)}): training the classifier again")
    train_classifier(classifier, images.to(device), labels.to(device))
    right = sum(
        (classify(classifier, x, device)[2].argmax(1) == y).sum().item()
        for x, y in zip(test.images.split(1000), test.labels.to(device).split(1000))
    )
    accuracy = right / len(test.images)
    print(f"classifier: {accuracy:.2%} right on {len(test.images):,} held-out images; kept in {path}")
    buffer = io.BytesIO()
    torch.save({"made_of": made_of, "accuracy": accuracy, "weights": classifier.state_dict()}, buffer)
    common.make_folder(path.parent)
    common.write_file(path, buffer.getvalue())
    return classifier.eval()


def train_classifier(classifier: Classifier, images: Tensor, labels: Tensor, steps: int = 1200) -> None:
    """Adam with a one-cycle learning rate, batches of 128: at most a minute on two cores."""
    torch.manual_seed(0)
    for module in classifier.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    optimizer = torch.optim.Adam(classifier.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc="training the classifier", mininterval=0.5 if sys.stderr.isatty() else 30):
        index = torch.randint(len(images), (128,), device=images.device)
        loss = F.cross_entropy(classifier(common.to_float(images[index]))[2], labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def classify(classifier: Classifier, images: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Features, maps and logits of uint8 images N×C×H×W, in eval mode."""
    classifier.eval()
    # Of images of one channel, strides can't tell N×H×W×C from N×C×H×W: a copy has one layout for all, or
    # convolutions would round the same images differently, depending on where they come from
    images = images.clone(memory_format=torch.contiguous_format)
    parts = [classifier(common.to_float(part.to(device))) for part in images.split(500)]
    features, maps, logits = zip(*parts)
    return torch.cat(features), torch.cat(maps), torch.cat(logits)


# --------------------------------------------------------------------------------------------------
# What is evaluated, and against what
# --------------------------------------------------------------------------------------------------


@dataclass
class Samples:
    """Generated images (uint8 N×C×H×W) and what is known of their making."""

    images: Tensor
    data: str  # the data set to compare with
    metrics: Path  # where the numbers go
    picture: Path
    between: Tensor | None = None  # images along straight lines between noise vectors: lines × steps


def load_samples(target: str, options: Options, device: torch.device) -> Samples:
    """Images of a run folder, an .npz file or a folder of pictures. Raises UserError if it is none of these."""
    path = Path(target)
    if path.suffix == ".npz":
        return Samples(
            read_npz(path), options.data, path.with_suffix(".metrics.json"), path.with_suffix(".evaluate.png")
        )
    if not path.is_dir():
        raise UserError(f"{path}: there is no such run folder, .npz file or folder of pictures")
    if not (path / common.CHECKPOINT).exists() and any(path.glob("*.png")):
        images = read_pictures(path)
        return Samples(images, options.data, path / "metrics.json", path / "evaluate.png")
    checkpoint = common.read_checkpoint(path, None, device)
    module = script_of(checkpoint["script"], path)
    G, hp = common.load_generator(checkpoint, module.Hyperparameters, module.Generator, device)
    z = common.noise_from_seed(options.sample_seed, options.samples, hp.z_dim).to(device)
    images = common.to_uint8(common.generate(G, z))
    lines = torch.stack(
        [torch.lerp(z[2 * i], z[2 * i + 1], t.item()) for i in range(2) for t in torch.linspace(0, 1, 12)]
    )
    between = common.to_uint8(common.generate(G, lines)).view(2, 12, *images.shape[1:])
    data = checkpoint["hyperparameters"]["data"]
    return Samples(images, data, path / "metrics.json", path / "evaluate.png", between)


def script_of(name: str, folder: Path):
    """The script that wrote a checkpoint, as a module."""
    if not name.isidentifier() or not Path(__file__).with_name(f"{name}.py").exists():
        raise UserError(f"{folder / common.CHECKPOINT} was written by an unknown script, {name!r:.50}")
    module = importlib.import_module(name)
    if not hasattr(module, "Generator"):
        raise UserError(f"{folder / common.CHECKPOINT} was written by {name}.py, which makes no images")
    return module


def read_npz(path: Path) -> Tensor:
    """arr_0 of an .npz file: uint8, N×H×W×C with C 1 or 3 → N×C×H×W."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "arr_0" not in archive:
                raise UserError(f"{path} has no arr_0, only {', '.join(archive) or 'nothing'}")
            array = archive["arr_0"]
    except FileNotFoundError as error:
        raise UserError(f"there is no {path}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(f"{path} is no whole .npz file: {common.first_line(error)}") from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3):
        raise UserError(f"{path}: arr_0 is {array.dtype} {array.shape}; it must be uint8, N×H×W×C with C 1 or 3")
    if array.shape[1] != array.shape[2]:
        raise UserError(f"{path}: arr_0 has images of {array.shape[1]}×{array.shape[2]} pixels; they must be square")
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


def read_pictures(folder: Path) -> Tensor:
    """All PNGs directly in a folder, which must be alike in size: uint8 N×C×H×W."""
    arrays = []
    for path in sorted(folder.glob("*.png")):
        try:
            with Image.open(path) as image:
                arrays.append(np.asarray(image if image.mode == "L" else image.convert("RGB")))
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{path} can't be read as a picture: {common.first_line(error)}") from error
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1 or shapes[0][0] != shapes[0][1]:
        raise UserError(
            f"{folder}: the pictures must be square, of one size and mode; found {shapes[0]} and {shapes[-1]}"
        )
    pictures = torch.from_numpy(np.stack(arrays))
    return pictures.view(*pictures.shape[:3], -1).permute(0, 3, 1, 2).contiguous()


class Reference:
    """The real images of a data set, in the shape of the samples, and their features."""

    def __init__(self, data: str, shape: torch.Size, data_dir: str, device: torch.device) -> None:
        channels, size = shape[0], shape[1]
        self.device = device
        self.train = common.load_images(data, data_dir, size, channels)
        self.test = common.load_images(data, data_dir, size, channels, train=False)
        self.classifier = None
        if self.train.labels is not None:
            self.classifier = load_classifier(self.train, self.test, data, data_dir, device)
        else:  # no held-out part: one random half stands in for it
            order = torch.randperm(len(self.train.images), generator=torch.Generator().manual_seed(0))
            half = len(order) // 2
            images = self.train.images
            self.train = common.Dataset(images[order[half:]], None, self.train.source)
            self.test = common.Dataset(images[order[:half]], None, self.train.source)
        self.train_pixels = pixels(self.train.images, device)
        self.kept_features: dict[int, tuple[Tensor, Tensor]] = {}
        self.floors: dict[tuple[int, int], dict] = {}

    def features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """For uint8 images: features for fid and kid, features for neighbourhoods, logits.

        Without a classifier the pixels serve, and there are no logits.
        """
        if self.classifier is None:
            return pixels(images, self.device), pixels(images, self.device), None
        features, maps, logits = classify(self.classifier, images, self.device)
        return features, torch.cat([features, MAPS_WEIGHT * maps], dim=1), logits

    def real_features(self, count: int) -> tuple[Tensor, Tensor]:
        """Both kinds of features of `count` training images, always the same ones."""
        if count not in self.kept_features:
            order = torch.randperm(len(self.train.images), generator=torch.Generator().manual_seed(0))
            self.kept_features[count] = self.features(self.train.images[order[:count]])[:2]
        return self.kept_features[count]

    def measure(self, images: Tensor, k: int) -> dict:
        """All numbers for uint8 images N×C×H×W against as many random training images."""
        real, real_points = self.real_features(len(images))
        fake, fake_points, logits = self.features(images)
        distance, _ = nearest(pixels(images[:2000], self.device), self.train_pixels)  # enough for a median
        numbers = dict.fromkeys(SCALARS)
        numbers |= neighbourhoods(real_points, fake_points, k)
        numbers |= {"memorisation": distance.median().item(), "class_share": None, "samples": len(images)}
        if logits is not None:
            share = logits.argmax(1).bincount(minlength=logits.shape[1]).double() / len(images)
            numbers |= {"fid": fid(real, fake), "kid": kid(real, fake), "inception_score": inception_score(logits)}
            # covered: at least a tenth of the share that it would have if all were equally frequent
            numbers |= {"classes": int((share >= 0.1 / len(share)).sum()), "class_share": share.tolist()}
        return numbers

    def floor(self, count: int, k: int) -> dict:
        """The same numbers for `count` held-out real images."""
        if (count, k) not in self.floors:
            self.floors[count, k] = self.measure(self.test.images[:count], k)
        return self.floors[count, k]


def pixels(images: Tensor, device: torch.device) -> Tensor:
    """uint8 N×C×H×W to N×d in [0, 1], at most 32 pixels wide: what 'nearest' means for memorisation."""
    parts = []
    for part in images.split(4096):
        values = part.to(device).float() / 255
        if values.shape[-1] > 32:
            values = F.interpolate(values, size=(32, 32), mode="area")
        parts.append(values.flatten(1))
    return torch.cat(parts)


def evaluate(target: str, options: Options, references: dict) -> dict:
    """All numbers of one target; writes metrics.json and evaluate.png. Raises UserError."""
    device = common.choose_device(options.device)
    samples = load_samples(target, options, device)
    key = (samples.data, tuple(samples.images.shape[1:]))
    if key not in references:
        references[key] = Reference(samples.data, samples.images.shape[1:], options.data_dir, device)
    reference = references[key]
    count = min(len(samples.images), len(reference.test.images), options.samples)
    if count < 100:
        raise UserError(
            f"{target}: {count} images to compare; the metrics need at least 100 samples and held-out real ones"
        )
    images = samples.images[:count]
    numbers = reference.measure(images, options.k)
    numbers["floor"] = reference.floor(count, options.k)
    common.write_file(samples.metrics, json.dumps(numbers, indent=2).encode())
    draw(images, samples.between, numbers, reference, samples.picture)
    if numbers["memorisation"] < 0.5 * numbers["floor"]["memorisation"]:
        print(f"{target}: the samples are far nearer to training images than new real ones are: copies, or blanks")
    if reference.classifier is None:
        print(f"{samples.data}: without labels there is no classifier, hence no {', '.join(NEEDS_LABELS)}")
    return numbers


def draw(images: Tensor, between: Tensor | None, numbers: dict, reference: Reference, path: Path) -> None:
    """Samples above their nearest training images, walks between noise vectors, the class histogram."""
    from matplotlib.figure import Figure

    shown = images[:24]
    _, index = nearest(pixels(shown, reference.device), reference.train_pixels)
    neighbours = reference.train.images[index.cpu()]
    rows = [shown[:12], neighbours[:12], shown[12:24], neighbours[12:24]]
    panels = [("samples, and below each its nearest training image", common.grid(torch.cat(rows), columns=12))]
    if between is not None:
        panels.append(
            ("from one noise vector to another", common.grid(between.flatten(0, 1), columns=between.shape[1]))
        )
    share = numbers["class_share"]
    heights = [picture.height / picture.width * 10 for _, picture in panels] + [2.0] * (share is not None)
    figure = Figure(figsize=(10, sum(heights) + 0.4 * len(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, (title, picture) in zip(axes, panels):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    if share is not None:
        places = np.arange(len(share))
        axes[-1].bar(places - 0.2, share, 0.4, label="samples")
        axes[-1].bar(places + 0.2, numbers["floor"]["class_share"], 0.4, label="real, held out")
        axes[-1].set_xticks(places)
        axes[-1].set_title("share of each class", fontsize=10)
        axes[-1].legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    common.write_file(path, buffer.getvalue())


# --------------------------------------------------------------------------------------------------
# Tables, and many seeds
# --------------------------------------------------------------------------------------------------


def print_table(columns: dict[str, dict]) -> None:
    """One row per metric; a column per target, and the floor."""
    width = max(14, *(len(name) for name in columns))
    print(f"{'':16}" + "".join(f"{name:>{width + 2}}" for name in columns))
    for key in (*SCALARS, "samples"):
        cells = [in_table(numbers[key]) for numbers in columns.values()]
        print(f"{key:16}" + "".join(f"{cell:>{width + 2}}" for cell in cells))


def in_table(number: float | int | None) -> str:
    return "–" if number is None else f"{number:,}" if isinstance(number, int) else f"{number:.4g}"


def train_seeds(options: Options) -> dict[str, list[str]]:
    """Train every script with every seed, `jobs` at a time; script to run folders."""
    folders: dict[str, list[str]] = {}
    waiting = []
    for script in options.targets:
        name = Path(script).stem
        if not Path(script).is_file() or Path(script).suffix != ".py":
            raise UserError(f"{script}: with --seeds the targets are scripts, such as began.py")
        for seed in range(options.seeds):
            folder = f"{options.out}/{name}-{seed}"
            folders.setdefault(script, []).append(folder)
            words = [sys.executable, script, *shlex.split(options.flags), "--seed", str(seed), "--out", folder]
            begun = (Path(folder) / common.CHECKPOINT).exists()  # a finished run is used, another one finished
            waiting.append([*words, "--data-dir", options.data_dir, "--resume" if begun else "--overwrite"])
    environment = dict(os.environ)
    if options.jobs > 1:
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // options.jobs))
    with ThreadPoolExecutor(options.jobs) as pool, tqdm(total=len(waiting), desc="trainings", unit="") as bar:

        def train(words: list[str]) -> None:
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                print(done.stderr.strip(), file=sys.stderr)
                raise UserError(f"this training failed, as it says above: {shlex.join(words[1:])}")
            bar.update()

        list(pool.map(train, waiting))
    return folders


COLUMNS = ("fid", "precision", "recall", "coverage", "classes")  # of the results over seeds


def print_seeds(results: dict[str, list[dict]], seconds: dict[str, list[float]]) -> None:
    """A Markdown table: mean ± standard deviation over seeds."""
    print("| script | " + " | ".join(COLUMNS) + " | seconds |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for script, runs in results.items():
        cells = [spread([run[key] for run in runs]) for key in COLUMNS] + [spread(seconds[script])]
        print(f"| {script} | " + " | ".join(cells) + " |")


def spread(values: list[float | None]) -> str:
    """mean ± standard deviation, with three digits of the mean."""
    if any(value is None for value in values):
        return "–"
    mean, deviation = np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0
    digits = max(0, 2 - int(np.floor(np.log10(abs(mean) + 1e-12)))) if mean else 2
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def main() -> None:
    options = tyro.cli(Options, prog="evaluate.py", description=common.first_line(__doc__))
    references: dict = {}
    try:
        if options.seeds:
            folders = train_seeds(options)
            results = {script: [evaluate(run, options, references) for run in runs] for script, runs in folders.items()}
            seconds = {
                script: [common.read_checkpoint(Path(run), None, "cpu")["seconds"] for run in runs]
                for script, runs in folders.items()
            }
            print_seeds(results, seconds)
        else:
            results = {target: evaluate(target, options, references) for target in options.targets}
            print_table({**results, "real (floor)": next(iter(results.values()))["floor"]})
    except UserError as error:
        sys.exit(f"evaluate.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
