"""How good are the samples, how diverse, and how does that compare with real images?

    python evaluate.py out/began                      a finished run
    python evaluate.py out/began out/began.1          several, side by side: what differs, numbers, one picture
    python evaluate.py samples.npz                    images from elsewhere: arr_0, uint8, N×H×W×C
    python evaluate.py folder_of_pngs                 the same as pictures
    python evaluate.py --seeds 5 began.py "began.py --gamma 0.5"    train and evaluate over seeds: mean ± std

A GAN's losses say little about its samples and an eye sees a few dozen of them, so each number here
answers one question, and stands beside the *floor*: the same number for real images that no GAN has
seen, with the same sample counts. A number at the floor sees no difference between samples and data. Another
may still see one (copies of the training set reach the floor of fid, precision, recall, but not of memorisation).

    fid         are the two clouds of features alike in mean and covariance? (Heusel 2017, 1706.08500)
    kid         the same by a kernel, unbiased for few samples (Bińkowski 2018, 1801.01401)
    inception_score  is each image surely of one class, and are all classes there? (Salimans 2016, 1606.03498)
    precision   share of samples inside the real data's neighbourhoods: quality
    recall      share of real images inside the samples' neighbourhoods: diversity (Kynkäänniemi 2019, 1904.06991)
    density, coverage  the same two questions, robust against outliers (Naeem 2020, 2002.09797)
    classes     how many classes the classifier finds among the samples, and class_share, how often each
    spread      standard deviation over the samples, mean over pixels, as a share of the real images': 0 is one image
    kde_nats    with --kde: mean log-likelihood of held-out real images when each sample is a Gaussian, ± its standard
                error (floor: training images as samples). For old papers: ranks models wrongly (Theis 2016, 1511.01844)
    memorisation  median distance (RMS over pixels, which lie in [0, 1]) to the nearest training image:
                far below the floor means copies of the training set, or blanks

Features are the last hidden layer (128 numbers) of a small classifier, trained here once on the labelled data
and kept under data/. Inception, which these metrics are named after, knows no digits. So the numbers compare
with each other, and not with those of papers. For the neighbourhoods the classifier's convolutional maps are
added (256 numbers): in the last layer alone pure noise is as close to digits as digits are to each other, with
a precision of 0.99; with the maps it is 0.00. A folder of images has no labels, hence no classifier: then fid, kid,
inception_score and classes are null, the neighbourhoods are those of the pixels, and there is

    fid_random  the fid on features of random, untrained convolutions (what it sees, what not: docs/without-labels.md)
"""

import importlib
import json
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from PIL import Image
from torch import Tensor

import common
from evaluation.features import choose_device_to_measure
from evaluation.image_files import read_npz, read_pictures
from evaluation.many_runs import train_seeds
from evaluation.metrics import SAMPLES as PARZEN_SAMPLES
from evaluation.metrics import nearest
from evaluation.reference import NEEDS_LABELS, Reference, pixels
from evaluation.report import Column, draw, draw_comparison, headings, print_seeds, print_table, warnings
from training.checkpoints import CHECKPOINT, load_generator, make_plain, read_checkpoint
from training.datasets import BUILT_IN
from training.files import UserError, make_folder, write_file
from training.folders import find_images
from training.machine import DEVICES
from training.record import HYPERPARAMETERS
from training.terminal import read_flags


@dataclass(kw_only=True)
class Options:
    """How good, how diverse, against what floor."""

    targets: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Run folders, .npz files or folders of PNGs; with --seeds: scripts, each with flags of its own if in quotes."""
    samples: int = 10_000
    """Images to generate and to compare with. Fewer if there are fewer; metrics.json says how many."""
    sample_seed: int = 0
    """Of the noise."""
    k: int = 5
    """Neighbours that make a neighbourhood, for precision, recall, density and coverage."""
    data: str = "auto"
    """What to compare with, as the scripts' --data. auto: what a run learned from; for images from elsewhere mnist."""
    data_dir: str = "data"
    """Folder in which data sets and the classifier are kept."""
    device: str = "auto"
    """cpu, cuda, or cuda:1 for the second GPU; auto: cuda, else cpu. With --seeds also for the trainings."""
    kde: bool = False
    """Also kde_nats, the log-likelihood of real images by a Parzen window over 16,000 samples (or fewer)."""
    seeds: int = 0
    """Above 0: the targets are scripts; train each with seeds 0, 1, … and report mean ± std."""
    flags: str = ""
    """With --seeds: further flags for the scripts, in one word: "--flags=--gamma 0.7"."""
    jobs: int = 1
    """With --seeds: trainings at a time, which share the cores."""
    compare: str = "out/compare.png"
    """With several targets: their samples, curves and numbers in one picture."""
    out: str = "out/seeds"
    """With --seeds: the folder of the runs. Finished ones that are there are used, and not trained again."""

    def __post_init__(self) -> None:
        make_plain(self)
        allowed = "auto, cpu, cuda or cuda:N"
        common.require(
            re.fullmatch(DEVICES, self.device) and "mps" not in self.device, "--device", self.device, allowed
        )
        common.require(len(self.targets) > 0, "TARGETS", "()", "at least one")
        common.require(self.samples >= 100, "--samples", self.samples, "at least 100")
        common.require(1 <= self.k < 100, "--k", self.k, "in 1 to 99")
        common.require(self.seeds >= 0, "--seeds", self.seeds, "0 or more")
        common.require(self.jobs >= 1, "--jobs", self.jobs, "at least 1")
        common.require(Path(self.compare).suffix == ".png", "--compare", self.compare, "the name of a .png file")


@dataclass
class Samples:
    """Generated images (uint8 N×C×H×W) and what is known of their making."""

    images: Tensor
    data: str  # the data set to compare with, unless --data names another
    metrics: Path  # where the numbers go
    picture: Path
    between: Tensor | None = None  # images along straight lines between noise vectors: lines × steps
    run: dict = field(default_factory=dict)  # of a run: what a comparison says of it
    source: str = ""  # of a run: the images that it learned from, in words
    identity: str = ""  # and which ones they are

    def some(self, count: int) -> Tensor:
        """At most `count` of the images; of those from elsewhere, which may be sorted by class, every n-th."""
        count = min(count, len(self.images))
        return self.images[:count] if self.run else self.images[torch.arange(count) * len(self.images) // count]


def is_run(path: Path) -> bool:
    return any(os.path.exists(path / name) for name in (CHECKPOINT, HYPERPARAMETERS))


def check_target(target: str, options: Options) -> None:
    """Raise UserError, before anything dear is begun, if the target can't be evaluated or what it is to be compared
    with is not there."""
    path, data = Path(target), options.data
    if path.suffix == ".npz":
        count, size = len(images := read_npz(path)), images.shape[3]
    elif is_run(path):
        checkpoint = read_checkpoint(path, None)
        module = script_of(checkpoint["script"], path)
        load_generator(checkpoint, module.Hyperparameters, module.Generator, torch.device("cpu"))
        count, size = options.samples, 0
        data = checkpoint["hyperparameters"].get("data", data) if data == "auto" else data
    else:
        if not os.path.isdir(path):
            raise UserError(f"{path}: there is no such run folder, .npz file or folder of pictures")
        files = find_images(path, str(path))
        for folder in {folder for file in files for folder in (file.parent, file.parent.parent)}:
            if is_run(folder):
                raise UserError(
                    f"{path} holds pictures of the run in {folder}, which are grids: evaluate {folder} itself"
                )
        count, size = len(files), max(Image.open(files[0]).size)
    if count < 100:
        raise UserError(f"{target}: {count} images to compare; needed are 100 samples and 100 held-out real ones")
    if data == "auto" and size > 64:
        raise UserError(f"{target}: images of {size} px are no digits: say with --data what to compare them with")
    if data not in (*BUILT_IN, "auto") and not os.path.isdir(data):
        raise UserError(f"{target}: its real images, {data}, are not there: say with --data where they are now")


def load_samples(target: str, options: Options, device: torch.device) -> Samples:
    """Images of a run folder, an .npz file or a folder of pictures. Raises UserError if it is none of these."""
    path = Path(target)
    if path.suffix == ".npz":
        files = path.with_suffix(".metrics.json"), path.with_suffix(".evaluate.png")
        return Samples(read_npz(path), "mnist", *files)
    if not is_run(path):
        place = path.resolve()  # beside the folder: in it they would be two files too many next time
        files = (place.with_name(f"{place.name}.{end}") for end in ("metrics.json", "evaluate.png"))
        return Samples(read_pictures(path), "mnist", *files)
    files = path / "metrics.json", path / "evaluate.png"
    checkpoint = read_checkpoint(path, None)
    module = script_of(checkpoint["script"], path)
    G, hp = load_generator(checkpoint, module.Hyperparameters, module.Generator, device)
    count = max(options.samples, PARZEN_SAMPLES) if options.kde else options.samples
    z = common.noise_from_seed(options.sample_seed, count, hp.z_dim).to(device)
    images = common.generate_uint8(G, z)
    lines = [torch.lerp(z[2 * i], z[2 * i + 1], t.item()) for i in range(2) for t in torch.linspace(0, 1, 12)]
    between = common.generate_uint8(G, torch.stack(lines)).view(2, 12, *images.shape[1:])
    run = {name: checkpoint[name] for name in ("script", "hyperparameters", "step")} | {"log": path / "log.csv"}
    learned = checkpoint["data"], checkpoint.get("identity", "")
    return Samples(images, checkpoint["hyperparameters"]["data"], *files, between, run, *learned)


def script_of(name: str, folder: Path):
    """The script that wrote a checkpoint, as a module."""
    if not name.isidentifier() or not Path(__file__).with_name(f"{name}.py").exists():
        raise UserError(f"{folder / CHECKPOINT} was written by an unknown script, {name!r:.50}")
    module = importlib.import_module(name)
    if not hasattr(module, "Generator"):
        raise UserError(f"{folder / CHECKPOINT} was written by {name}.py, which makes no images")
    return module


def reference_for(data: str, shape: torch.Size, data_dir: str, device: torch.device) -> Reference:
    """The real images of a data set in the shape C×H×W of the samples."""
    train, test = (common.load_images(data, data_dir, shape[1], shape[0], train=part) for part in (True, False))
    return Reference(train, test, data, data_dir, device)


def evaluate(target: str, options: Options, references: dict) -> Column:
    """All numbers of one target, and what a comparison shows of it; writes metrics.json and evaluate.png into
    a run, and beside anything else (FOLDER.metrics.json).

    references: keeps what was loaded for one target for the next one. Raises UserError.
    """
    device = choose_device_to_measure(options.device)
    samples = load_samples(target, options, device)
    data = samples.data if options.data == "auto" else options.data
    key = (data, tuple(samples.images.shape[1:]))
    if key not in references:
        references[key] = reference_for(data, samples.images.shape[1:], options.data_dir, device)
    reference = references[key]
    count = min(len(samples.images), len(reference.test.images), options.samples)
    if count < 100:
        raise UserError(f"{target}: {count} images to compare; needed are 100 samples and 100 held-out real ones")
    images = samples.some(count)
    numbers = reference.measure(images, options.k) | {"data": data, "floor": reference.floor(count, options.k)}
    if options.kde:
        parzen = reference.density(samples.some(min(PARZEN_SAMPLES, len(reference.train.images))))
        numbers = numbers | parzen | {"floor": numbers["floor"] | reference.density_floor(parzen["kde_samples"])}
    panels = pictures(images[:24], samples.between, reference)
    try:
        write_file(samples.metrics, json.dumps(numbers, indent=2).encode())
        draw(panels, numbers["class_share"], numbers["floor"]["class_share"], samples.picture)
    except UserError as error:  # such as a run of somebody else's
        print(f"{target}: its numbers are not kept: {error}")
    if samples.source not in ("", reference.train.source) and samples.identity != reference.identity:
        print(f"{target}: it learned from {samples.source}, and is compared with {reference.train.source}")
    if numbers["memorisation"] < 0.5 * numbers["floor"]["memorisation"]:
        print(f"{target}: the samples are far nearer to training images than new real ones are: copies, or blanks")
    if reference.classifier is None:
        print(f"{data}: no labels, hence no classifier and no {', '.join(NEEDS_LABELS)}")
        print("features of fid_random: random convolutions; it compares on the same images and image size only")
    return Column(target, numbers, common.grid(images[:64]), **samples.run)


def pictures(shown: Tensor, between: Tensor | None, reference: Reference) -> list[tuple[str, Image.Image]]:
    """24 samples above their nearest training images, and walks between noise vectors, each with a title."""
    _, index = nearest(pixels(shown, reference.device), reference.seen_pixels)
    neighbours = reference.seen[index.cpu()]
    rows = torch.cat([shown[:12], neighbours[:12], shown[12:24], neighbours[12:24]])
    panels = [("samples, and below each its nearest training image", common.grid(rows, columns=12))]
    if between is not None:
        walks = common.grid(between.flatten(0, 1), columns=between.shape[1])
        panels.append(("from one noise vector to another", walks))
    return panels


def compare(columns: list[Column], path: Path) -> None:
    """The table, and for several targets one picture of them all."""
    print_table([*headings(columns), ["real (floor)"]], [*(c.numbers for c in columns), columns[0].numbers["floor"]])
    if len(columns) > 1:
        for line in warnings(columns):
            print(line)
        make_folder(path.parent, "--compare")
        draw_comparison(columns, path)
        print(f"side by side: {path}")


def over_seeds(options: Options, references: dict) -> None:
    """Train what is not trained yet, evaluate, and print the table of means."""
    device = ["--device", options.device] if options.device != "auto" else []
    flags = f"{options.flags} {shlex.join(['--data-dir', options.data_dir, *device])}"
    folders = train_seeds(options.targets, options.seeds, flags, options.out, options.jobs)
    results = {target: [evaluate(run, options, references).numbers for run in runs] for target, runs in folders.items()}
    seconds = {t: [read_checkpoint(Path(run), None)["seconds"] for run in runs] for t, runs in folders.items()}
    print_seeds(results, seconds)


def main() -> None:
    options = read_flags(Options, "evaluate.py", __doc__)
    references: dict = {}
    try:
        if options.seeds:
            over_seeds(options, references)
        else:
            for target in options.targets:
                check_target(target, options)
            if len(options.targets) > 1:
                make_folder(Path(options.compare).parent, "--compare")
            compare([evaluate(target, options, references) for target in options.targets], Path(options.compare))
    except UserError as error:
        sys.exit(f"evaluate.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
