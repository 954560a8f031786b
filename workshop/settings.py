"""Hyperparameters as a whole: which of them a run and its continuation share, which differ. Not here: their meaning."""

import dataclasses

INTERVALS = ("sample_every", "log_every", "checkpoint_every")

# A run may be continued with others of these: they are no part of what is to be learned.
FREE_TO_CHANGE = {"steps", "data_dir", "out", "overwrite", "resume", "sample", "sample_seed", "device", "precision"}
FREE_TO_CHANGE |= {"tensorboard", *INTERVALS}


def fixed(hp) -> dict:
    """The hyperparameters that a run and its continuation share, by name."""
    return fixed_part(dataclasses.asdict(hp))


def fixed_part(hyperparameters: dict) -> dict:
    """The same of hyperparameters that are a dictionary, as in a checkpoint."""
    return {name: value for name, value in hyperparameters.items() if name not in FREE_TO_CHANGE}


def changed(hp) -> dict:
    """Those that differ from the script's defaults, without what the data decides (a size or channels of 0)."""
    defaults = {field.name: field.default for field in dataclasses.fields(hp)}
    automatic = {name for name in ("image_size", "channels") if defaults[name] == 0}
    return {name: value for name, value in fixed(hp).items() if value != defaults[name] and name not in automatic}
