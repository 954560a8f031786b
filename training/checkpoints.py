"""checkpoint.pt, as it is written; hyperparameters: plain values, and which ones two runs share.

Not here: when it is written, what else a run's folder holds, how it is read (earlier.py).
"""

import dataclasses
import enum
import os
import re
import typing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.files import Diverged, UserError, first_line, flag, require, write_by

CHECKPOINT, HYPERPARAMETERS = "checkpoint.pt", "hyperparameters.json"  # the latter tells that a folder is a run's

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
