"""What is evaluated: a run's folder, an .npz file, a folder of pictures; looked at before anything dear is begun, then
loaded. Not here: what it is compared with (reference.py)."""

import importlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from evaluation.image_files import read_npz, read_pictures
from evaluation.metrics import SAMPLES as PARZEN_SAMPLES
from training.checkpoints import CHECKPOINT, HYPERPARAMETERS
from training.datasets import BUILT_IN
from training.earlier import load_generator, read_checkpoint
from training.files import UserError
from training.folders import find_images
from training.sampling import generate_uint8, noise_from_seed


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
    G: nn.Module | None = None  # of a run: in eval mode
    z_dim: int = 0

    def some(self, count: int) -> Tensor:
        """At most `count` of the images; of those from elsewhere, which may be sorted by class, every n-th."""
        count = min(count, len(self.images))
        return self.images[:count] if self.run else self.images[torch.arange(count) * len(self.images) // count]


def is_run(path: Path) -> bool:
    return any(os.path.exists(path / name) for name in (CHECKPOINT, HYPERPARAMETERS))


def check_target(target: str, options) -> None:
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


def load_samples(target: str, options, device: torch.device) -> Samples:
    """Images of a run folder, an .npz file or a folder of pictures. Raises UserError if it is none of these."""
    path = Path(target)
    if path.suffix == ".npz":
        files = path.with_suffix(".metrics.json"), path.with_suffix(".evaluate.png")
        return Samples(read_npz(path), "mnist", *files)
    if not is_run(path):
        if not os.path.isdir(path):
            raise UserError(f"{path}: there is no such run folder, .npz file or folder of pictures")
        place = path.resolve()  # beside the folder: in it they would be two files too many next time
        files = (place.with_name(f"{place.name}.{end}") for end in ("metrics.json", "evaluate.png"))
        return Samples(read_pictures(path), "mnist", *files)
    files = path / "metrics.json", path / "evaluate.png"
    checkpoint = read_checkpoint(path, None)
    module = script_of(checkpoint["script"], path)
    G, hp = load_generator(checkpoint, module.Hyperparameters, module.Generator, device)
    count = max(options.samples, PARZEN_SAMPLES) if options.kde else options.samples
    z = noise_from_seed(options.sample_seed, count, hp.z_dim).to(device)
    images = generate_uint8(G, z)
    lines = [torch.lerp(z[2 * i], z[2 * i + 1], t.item()) for i in range(2) for t in torch.linspace(0, 1, 12)]
    between = generate_uint8(G, torch.stack(lines)).view(2, 12, *images.shape[1:])
    run = {name: checkpoint.get(name) for name in ("script", "hyperparameters", "step", "seconds")}
    run |= {"log": path / "log.csv"}
    data = checkpoint["hyperparameters"]["data"]
    learned = checkpoint["data"], checkpoint.get("identity", "")
    return Samples(images, data, *files, between, run, *learned, G, hp.z_dim)


def script_of(name: str, folder: Path):
    """The script that wrote a checkpoint, as a module."""
    if not name.isidentifier() or not (Path(__file__).parent.parent / f"{name}.py").exists():
        raise UserError(f"{folder / CHECKPOINT} was written by an unknown script, {name!r:.50}")
    module = importlib.import_module(name)
    if not hasattr(module, "Generator"):
        raise UserError(f"{folder / CHECKPOINT} was written by {name}.py, which makes no images")
    return module
