"""Every hyperparameter of a lesson changes what is learned."""

import dataclasses
import importlib
from typing import Literal, get_args, get_origin

import pytest
import torch
from conftest import SCRIPTS, tensors

import common
from training import log
from training.datasets import Dataset
from training.earlier import read_checkpoint

SMALL = {
    "width": 4,
    "hidden": 8,
    "G_hidden": 8,
    "D_hidden": 8,
    "n_G": 4,
    "n_D": 4,
    "h": 4,
    "head_start": 2,
}
SMALL |= {"batch_size": 8, "z_dim": 4, "ema": 0.9}
CHANGES = {  # of other fields: another_value()
    "betas": (0.5, 0.9),
    "ema": 0.0,
    "divergence": "kl",
    "generator_objective": "practical",
    "patience": 1,
    "k_start": 0.0,
    "gamma": 0.5,
    "head_start": 0,
}
ONLY_WITH = {  # of fgan.py
    "alpha": ({"divergence": "alpha"}, 2.0),
    "pi": ({"divergence": "jensen_shannon_weighted"}, 0.7),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_hyperparameter_matters(script, tmp_path, monkeypatch):
    images = torch.randint(0, 256, (64, 1, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    monkeypatch.setattr(common, "load_images", lambda *_: Dataset(images, None, "images"))
    monkeypatch.setattr(log, "save_curves", lambda *_: None)
    module = importlib.import_module(script)
    fields = {f.name: f for f in dataclasses.fields(module.Hyperparameters)}
    same = {"steps": 4, "out": str(tmp_path / "run"), "device": "cpu", "precision": "float32"}
    same |= {name: value for name, value in SMALL.items() if name in fields}

    def learned(**changes) -> dict[str, torch.Tensor]:
        module.train(module.Hyperparameters(**(same | changes)))
        return tensors(read_checkpoint(tmp_path / "run", script)["networks"])

    default = learned()
    for name in fields.keys() - {f.name for f in dataclasses.fields(common.Options)} - {"steps"}:
        extra, value = ONLY_WITH.get(name, ({}, None)) if script == "fgan" else ({}, None)
        if value is None:
            value = CHANGES[name] if name in CHANGES else another_value(fields[name], same)
        a, b = learned(**extra) if extra else default, learned(**(extra | {name: value}))
        assert a.keys() != b.keys() or any(a[k].shape != b[k].shape or not torch.equal(a[k], b[k]) for k in a), name


def another_value(field: dataclasses.Field, used: dict) -> object:
    """A value that differs from the one in use."""
    now = used.get(field.name, field.default)
    if isinstance(now, bool):
        return not now
    if get_origin(field.type) is Literal:
        return next(value for value in get_args(field.type) if value != now)
    return now + 1 if isinstance(now, int) else now / 2
