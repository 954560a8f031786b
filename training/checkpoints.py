"""checkpoint.pt: written, read, refused, put back; hyperparameters: plain values, and which ones two runs share.

Not here: when it is written, what else a run's folder holds.
"""

import dataclasses
import enum
import os
import re
import typing
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.files import Diverged, UserError, first_line, flag, require, write_by
from training.terminal import quote

CHECKPOINT = "checkpoint.pt"

INTERVALS = ("sample_every", "log_every", "checkpoint_every")

# A run may be continued with others of these: they are no part of what is to be learned.
FREE_TO_CHANGE = {"steps", "data_dir", "out", "resume", "sample", "sample_seed", "device", "precision", "tensorboard"}
FREE_TO_CHANGE |= {"png", "walk", "fid_every", *INTERVALS}


def fixed(hp) -> dict:
    """The hyperparameters that a run and its continuation share, by name."""
    return fixed_part(dataclasses.asdict(hp))


def fixed_part(hyperparameters: dict) -> dict:
    """The same of hyperparameters that are a dictionary, as in a checkpoint."""
    return {name: value for name, value in hyperparameters.items() if name not in FREE_TO_CHANGE}


def changed(hp) -> dict:
    """Those that differ from the script's defaults, without what the data decides (a size or channels of 0)."""
    defaults = {field.name: field.default for field in dataclasses.fields(hp)}
    automatic = [name for name in ("image_size", "channels") if defaults[name] == 0]
    return {name: value for name, value in fixed(hp).items() if value != defaults[name] and name not in automatic}


PLAIN = (bool, int, float, str, type(None))  # a hyperparameter is one of these, or a tuple of such


def plain(value: object) -> object:
    """A number of numpy's, an enum, a Path, a list … as what a checkpoint can give back. Others stay as they are."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, np.generic | np.ndarray | Tensor):
        value = float(value) if isinstance(value, np.floating) else value.tolist()
    elif isinstance(value, torch.device | torch.dtype | os.PathLike):
        value = str(value).removeprefix("torch.")
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return next((kind(value) for kind in PLAIN[:4] if isinstance(value, kind)), value)


def holds(kind: object, value: object) -> bool:
    """Whether a plain value is one of a field of that type; of types that no checkpoint could give back none is."""
    inner, origin = typing.get_args(kind), typing.get_origin(kind)
    if origin is typing.Literal:
        return any(type(value) is type(allowed) and value == allowed for allowed in inner)
    if origin is tuple and type(value) is tuple:
        inner = inner[:1] * len(value) if inner[1:] == (...,) else inner
        return len(inner) == len(value) and all(map(holds, inner, value))
    if inner:  # such as str | None
        return origin is not tuple and any(holds(one, value) for one in inner)
    return kind in PLAIN and type(value) in ((int, float) if kind is float else (kind,))


def make_plain(hp) -> None:
    """Make the fields of a dataclass plain. Raises ValueError, naming the flag, if one is not of its type then."""
    kinds = typing.get_type_hints(type(hp))
    for name in (field.name for field in dataclasses.fields(hp)):
        given, value = getattr(hp, name), plain(getattr(hp, name))
        words = re.sub(r"typing\.|<class '|'>", "", str(kinds[name]))  # tuple[float, float]
        require(holds(kinds[name], value), flag(name), first_line(repr(given)), words)
        setattr(hp, name, value)


def checked(hp):
    """A copy of hyperparameters, plain and in range, also where they were changed after they were made. Raises
    ValueError, in the words of the command line."""
    copy = dataclasses.replace(hp)
    if unknown := vars(hp).keys() - vars(copy).keys():
        raise ValueError(f"{type(hp).__name__} has no {', '.join(unknown)}: only {', '.join(vars(copy))}")
    return copy


Parts = dict[str, nn.Module | Optimizer | Tensor]
"""Whatever changes while learning, by name: networks, optimizers, tensors."""


def save_checkpoint(folder: Path, parts: Parts, about: dict) -> None:
    """One dictionary of tensors and plain values. It replaces the one before only when it is whole."""
    write_by(folder / CHECKPOINT, lambda file: torch.save({**about, **states(parts)}, file))


def states(parts: Parts) -> dict:
    """What a checkpoint keeps of the parts. A learning rate that numpy has computed becomes a number of Python's."""
    content = {
        "networks": {name: part.state_dict() for name, part in parts.items() if isinstance(part, nn.Module)},
        "optimizers": {name: part.state_dict() for name, part in parts.items() if isinstance(part, Optimizer)},
        "state": {name: part for name, part in parts.items() if isinstance(part, Tensor)},
    }
    for group in (group for state in content["optimizers"].values() for group in state["param_groups"]):
        group |= {name: plain(value) for name, value in group.items() if isinstance(value, np.generic)}
    return content


def require_parts(parts: Parts) -> None:
    """Raise UserError if a part is of a kind that no checkpoint holds, such as a learning-rate scheduler."""
    for name, part in parts.items():
        if not isinstance(part, nn.Module | Optimizer | Tensor):
            raise UserError(f"run.steps: {name} is a {type(part).__name__}; give networks, optimizers and tensors")


def require_finite(parts: Parts, step: int) -> None:
    """Raise Diverged if a network has a weight that is not finite."""
    for name, part in parts.items():
        if isinstance(part, nn.Module) and not all(t.isfinite().all() for t in part.state_dict().values()):
            raise Diverged(f"the weights of {name} are not finite after step {step}")


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
