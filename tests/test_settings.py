"""Hyperparameters as a whole: what a continuation shares, what differs from the defaults."""

import dataclasses
import importlib
from pathlib import Path

import pytest
from conftest import SCRIPTS

import began
import common
from training.checkpoints import FREE_TO_CHANGE, changed, fixed


def test_what_differs_from_the_defaults():
    assert changed(began.Hyperparameters()) == {}
    hp = began.Hyperparameters(gamma=0.5, steps=3, out="x", image_size=32)
    assert changed(hp) == {"gamma": 0.5}  # how long and where is no part of it; the size may come from the data
    assert "image_size" in fixed(hp)


def test_what_is_free_to_change_are_fields():
    names = {field for field in began.Hyperparameters.__dataclass_fields__}
    assert names >= FREE_TO_CHANGE
    assert Path(began.Hyperparameters().out).name == "began"


@pytest.mark.parametrize("script", SCRIPTS)
def test_all_that_a_paper_is_about_is_fixed(script):
    Hyperparameters = importlib.import_module(script).Hyperparameters
    own = {f.name for f in dataclasses.fields(Hyperparameters)} - {f.name for f in dataclasses.fields(common.Options)}
    assert fixed(Hyperparameters()).keys() == own - {"steps"} | {"data", "image_size", "channels"}
