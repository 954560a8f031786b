"""Every hyperparameter of a lesson changes what is learned."""

import dataclasses
import importlib

import pytest
import torch
from conftest import SCRIPTS, tensors

import common
from workshop import log
from workshop.checkpoints import read_checkpoint
from workshop.datasets import Dataset

BETAS = {"betas": (0.5, 0.9)}
ALL = {"ema": 0.0, "z_dim": 5, "seed": 1, "batch_size": 6}
TWIN = ALL | {"n_critic": 2, "lr_G": 1e-4, "lr_D": 1e-4, "width": 5, "hidden": 9}
GAME = (
    ALL | BETAS | {"gamma": 0.5, "lambda_k": 0.1, "k_start": 0.0, "eta": 1, "lr_G": 1e-4, "lr_D": 1e-5, "patience": 1}
)
CHANGES = {
    "dcgan": TWIN | BETAS,
    "wgan": TWIN | {"c": 0.01},
    "wgan_gp": TWIN | BETAS | {"lambda_gp": 1.0},
    "fgan": TWIN | BETAS | {"divergence": "kl", "generator_objective": "practical", "K": 1.0, "lambda_gp": 2.0},
    "began": GAME | {"G_hidden": 9, "D_hidden": 9},
    "began_conv": GAME
    | {"head_start": 0, "n_G": 5, "n_D": 5, "h": 5, "batchnorm": False, "skip": False, "strides": True}
    | {"upsampling": "nearest"},
}
SMALL = {
    "began": {"G_hidden": 8, "D_hidden": 8},
    "began_conv": {"n_G": 4, "n_D": 4, "h": 4, "head_start": 2},
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
    same = {"steps": 4, "out": str(tmp_path / "run"), "device": "cpu", "precision": "float32", "overwrite": True}
    same |= {"batch_size": 8, "z_dim": 4, "ema": 0.9} | SMALL.get(script, {"width": 4, "hidden": 8})

    def learned(**changes) -> dict[str, torch.Tensor]:
        module.train(module.Hyperparameters(**(same | changes)))
        return tensors(read_checkpoint(tmp_path / "run", script)["networks"])

    cases = [({}, name, value) for name, value in CHANGES[script].items()]
    cases += [(extra, name, value) for name, (extra, value) in ONLY_WITH.items() if script == "fgan"]
    own = {f.name for f in dataclasses.fields(module.Hyperparameters)}
    own -= {f.name for f in dataclasses.fields(common.Options)} | {"steps"}
    assert own == {name for _, name, _ in cases}  # a new one must be added here
    default = learned()
    for extra, name, value in cases:
        a, b = learned(**extra) if extra else default, learned(**(extra | {name: value}))
        assert a.keys() != b.keys() or any(a[k].shape != b[k].shape or not torch.equal(a[k], b[k]) for k in a), name
