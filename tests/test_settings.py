"""Hyperparameters as a whole: what a continuation shares, what differs from the defaults."""

from pathlib import Path

import began
from workshop.settings import FREE_TO_CHANGE, changed, fixed


def test_what_differs_from_the_defaults():
    assert changed(began.Hyperparameters()) == {}
    hp = began.Hyperparameters(gamma=0.5, steps=3, out="x", image_size=32)
    assert changed(hp) == {"gamma": 0.5}  # how long and where is no part of it; the size may come from the data
    assert "image_size" in fixed(hp)


def test_what_is_free_to_change_are_fields():
    names = {field for field in began.Hyperparameters.__dataclass_fields__}
    assert names >= FREE_TO_CHANGE
    assert not FREE_TO_CHANGE & fixed(began.Hyperparameters()).keys()
    assert Path(began.Hyperparameters().out).name == "began"
