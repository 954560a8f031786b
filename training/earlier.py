"""A run that is there already: moved aside; or its checkpoint read, refused, put back; its G; the files of --sample.

A new run needs none of this. Not here: how a checkpoint is written.
"""

import itertools
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from training.checkpoints import CHECKPOINT, HYPERPARAMETERS, PLAIN, Parts, fixed
from training.files import UserError, first_line, flag, make_folder, write_by
from training.log import Log
from training.machine import choose_device
from training.pictures import grid, save_gif, save_picture
from training.sampling import generate_uint8, noise_from_seed, walk
from training.terminal import quote, say


def make_room(folder: Path) -> None:
    """Move the run that is in the folder aside. Raises UserError if what is there is no run."""
    place = folder.resolve()  # of a link, what it leads to: the link stays one name of the new run's folder
    try:
        is_run = (place / HYPERPARAMETERS).exists()
        begun = f".{HYPERPARAMETERS}."  # of a run that was killed in the moment in which it began
        if not place.is_dir() or (not is_run and any(not p.name.startswith(begun) for p in place.iterdir())):
            raise UserError(f"{folder} holds something that is no run of these scripts: choose another --out")
        if is_run and Path.cwd().is_relative_to(place):
            raise UserError(f"{folder} holds a run and is where you stand: go elsewhere or choose another --out")
        if is_run:
            aside = next(p for n in itertools.count(1) if not (p := place.with_name(f"{place.name}.{n}")).exists())
            place.rename(aside)
            shown = aside if folder.is_symlink() or ".." in folder.parts else folder.with_name(aside.name)
            print(f"the earlier run in {folder} is now {shown}")
    except OSError as error:  # such as a file that another program holds open
        raise UserError(f"the run in {folder} can't be moved: {first_line(error)}: choose another --out") from error


def read_checkpoint(folder: Path, script: str | None) -> dict:
    """The content of a run's checkpoint, on the CPU. Raises UserError for anything but a whole one, of this script.

    Nothing in the file is executed: `weights_only` admits tensors and plain values alone.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise UserError(f"there is no {path}: train first, or name another folder{' with --out' if script else ''}")
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:  # torch.load does not look at the checksums
                raise ValueError(f"{damaged} is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign or damaged file can make the readers raise nearly anything
        raise UserError(f"{path} is no whole checkpoint of these scripts: {first_line(error)}") from error
    needed = {"script": str, "data": str, "step": int, "seconds": float, "log": dict}
    needed |= {"hyperparameters": dict, "networks": dict}
    if not isinstance(checkpoint, dict) or not all(isinstance(checkpoint.get(k), v) for k, v in needed.items()):
        raise UserError(f"{path} is no checkpoint of these scripts: it lacks {', '.join(needed)}")
    if not all(isinstance(value, (*PLAIN, tuple)) for value in checkpoint["hyperparameters"].values()):
        raise UserError(f"{path} is no checkpoint of these scripts: its hyperparameters are no plain values")
    if "G_average" in checkpoint["networks"]:
        raise UserError(f"{path} is of an earlier form, with G_average in place of G_ema: train anew")
    if script is not None and checkpoint["script"] != script:
        raise UserError(f"{path} was written by {checkpoint['script']}.py, not {script}.py: give another --out")
    return checkpoint


def refuse_other_run(checkpoint: dict, hp, dataset, folder: Path) -> None:
    """A resumed run must be the same run: raises UserError naming what differs.

    hp: the hyperparameters now; dataset: the images now. Their names count only if the checkpoint is an older one.
    """
    ours, steps = fixed(hp), hp.steps
    theirs = checkpoint["hyperparameters"]
    del ours["data"]
    if unknown := [flag(name) for name in ours if name not in theirs]:
        raise UserError(f"the run in {folder} is older than {', '.join(unknown)}: start anew, without --resume")
    words = [word for name in ours if ours[name] != theirs[name] for word in as_flag(name, theirs[name])]
    if words:
        raise UserError(
            f"the run in {folder} was made with {quote(words)}: give the same to --resume, or start anew without it"
        )
    kept, same = checkpoint.get("identity"), "give the same images with --data and --data-dir, or start anew"
    if (before := checkpoint.get("images", len(dataset.images))) != (now := len(dataset.images)):
        learned = f"learned from {before} images of {checkpoint['data']}"
        raise UserError(f"the run in {folder} {learned}; now there are {now} of {dataset.source}: {same}")
    if checkpoint["data"] != dataset.source if kept is None else kept != dataset.identity:
        named = dataset.source if dataset.source != checkpoint["data"] else "other images of that name"
        raise UserError(f"the run in {folder} learned from {checkpoint['data']}; now there is {named}: {same}")
    if (done := checkpoint["step"]) > steps:
        raise UserError(f"the run in {folder} is at step {done} already, and --steps is {steps}: give {done} or more")


def as_flag(name: str, value: object) -> list[str]:
    """The words that give a hyperparameter its value on the command line."""
    if isinstance(value, bool):
        return [flag(name) if value else flag(f"no_{name}")]
    return [flag(name), *map(str, value if isinstance(value, tuple) else (value,))]


def restore(parts: Parts, log: Log, checkpoint: dict, folder: Path) -> tuple[int, float]:
    """Put all back as it was when the checkpoint was written. Returns its step and the seconds up to it."""
    try:
        restore_parts(parts, checkpoint)
        log.restore(checkpoint["log"])
        return checkpoint["step"], checkpoint["seconds"]
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        problem = "does not fit these networks (start anew, or take the script as it was)"
        raise UserError(f"{folder / CHECKPOINT} {problem}: {first_line(error)}") from error


def restore_parts(parts: Parts, checkpoint: dict) -> None:
    """Put networks, optimizers and tensors back in place. Raises KeyError, RuntimeError or the like if it can't."""
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            part.load_state_dict(checkpoint["networks"][name])
        elif isinstance(part, Optimizer):
            part.load_state_dict(checkpoint["optimizers"][name])
        else:
            kept = checkpoint["state"][name]
            if kept.shape != part.shape:  # copy_ would repeat a smaller one
                raise ValueError(f"{name} has shape {tuple(part.shape)}, in the checkpoint {tuple(kept.shape)}")
            with torch.no_grad():  # it may be learned
                part.copy_(kept)


def load_generator(checkpoint: dict, Hyperparameters: type, Generator: type[nn.Module], device: torch.device):
    """The generator that a checkpoint's pictures come from (`G_ema` if kept), and its hyperparameters."""
    try:
        theirs = {name: value for name, value in checkpoint["hyperparameters"].items() if name != "overwrite"}
        hp = Hyperparameters(**{**theirs, "data": "mnist"})  # the data may be elsewhere now
        hp.data = checkpoint["hyperparameters"].get("data", "mnist")
        G = Generator(hp)
        networks = checkpoint["networks"]
        G.load_state_dict(networks.get("G_ema", networks.get("G")))
    except (TypeError, ValueError, RuntimeError, AttributeError, OverflowError, MemoryError) as error:
        raise UserError(
            f"the checkpoint does not fit {checkpoint['script']}.py as it is now (train again, or take the file as it"
            f" was): {first_line(error)}"
        ) from error
    return G.to(device).eval(), hp


def sample(script: str, hp, Hyperparameters: type, Generator: type[nn.Module]) -> None:
    """--sample: images of a run's checkpoint, as files."""
    device, checkpoint = choose_device(hp.device), read_checkpoint(Path(hp.out), script)
    G, theirs = load_generator(checkpoint, Hyperparameters, Generator, device)
    written = write_samples(G, hp, theirs.z_dim, Path(hp.out), device)
    say(f"{hp.sample} images: {', '.join(map(str, written))}")


def write_samples(G: nn.Module, hp, z_dim: int, folder: Path, device: torch.device) -> list[Path]:
    """What --sample, --png and --walk of `hp` ask for. Returns the files: samples.npz (arr_0: uint8 N×H×W×C) first."""
    images = generate_uint8(G, noise_from_seed(hp.sample_seed, hp.sample, z_dim).to(device))
    written = [folder / "samples.npz", folder / "samples.png"]
    write_by(written[0], lambda file: np.savez_compressed(file, images.permute(0, 2, 3, 1).numpy()))
    save_picture(grid(images[:100]), written[1])
    if hp.png:
        written.append(save_pictures(images, folder / "generated"))
    if hp.walk:
        written.append(folder / "walk.gif")
        z = walk(hp.sample_seed, 60, 25, z_dim).to(device)
        save_gif([grid(generate_uint8(G, moment)) for moment in z], written[-1], [80] * len(z))
    return written


def save_pictures(images: Tensor, folder: Path) -> Path:
    """One PNG for each image (uint8 N×C×H×W), 000000.png and so on. Those of an earlier time go."""
    make_folder(folder)
    try:
        for old in folder.glob("[0-9]*.png"):
            old.unlink()
        for i, image in enumerate(images.permute(0, 2, 3, 1).numpy()):  # Pillow wants H×W where there is one channel
            Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(folder / f"{i:06d}.png")
    except OSError as error:
        raise UserError(f"{folder} can't be written: {first_line(error)}") from error
    return folder
