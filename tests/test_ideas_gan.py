"""ideas/gan.py: its numbers against the truth; and what all commands of the folder share (tolerances: five seeds)."""

import functools
import importlib
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from ideas import gan


def test_D_finds_its_best_and_what_that_reaches():
    D, objective = gan.train_D(seed=0, steps=400)
    assert gan.integral((D - gan.D_BEST).abs() * (gan.p + gan.q) / 2) < 0.02  # 0.010 to 0.012
    assert objective[max(objective)] == pytest.approx(gan.best_objective(), abs=0.015)  # 0.001 to 0.007 below
    assert objective[0] < gan.best_objective() - 0.2


def test_the_truth_is_that_of_the_paper():
    assert gan.integral(gan.p) == pytest.approx(1, abs=1e-4)
    assert gan.integral(gan.q) == pytest.approx(1, abs=1e-4)
    reached = gan.p * gan.D_BEST.log() + gan.q * torch.log1p(-gan.D_BEST)
    assert gan.integral(reached) == pytest.approx(gan.best_objective(), abs=1e-5)


def test_slopes_of_both_losses():
    d = torch.linspace(-8, 8, 33)
    saturating, non_saturating = (gan.slope(loss, d) for loss in gan.LOSSES.values())
    torch.testing.assert_close(saturating, -d.sigmoid())
    torch.testing.assert_close(non_saturating, -(-d).sigmoid())


def test_the_game_of_two_numbers():
    def distances(*arguments):
        return [np.linalg.norm(found, axis=1) for found in gan.play(*arguments)]

    at_once, _ = distances(0, False, 301)
    np.testing.assert_allclose(at_once, np.sqrt(2) * (1 + gan.ETA**2) ** (np.arange(301) / 2), rtol=1e-4)
    path, _ = gan.play(0, True, 1001)
    x, y = path.T
    assert np.ptp(x**2 + y**2 + gan.ETA * x * y) < 1e-3  # in turn: an ellipse, for ever
    in_turn, mean = distances(0, True, 1001)
    assert mean[-1] < 0.2
    assert in_turn.min() > 1.3
    momentum, _ = distances(0.5, False, 601)
    growth = max(abs(np.roots([1, -(1.5 + 0.5j * gan.ETA), 0.5])))  # m ← m/2 + i·z/2, z ← z + η·m, as complex numbers
    assert (momentum[600] / momentum[100]) ** (1 / 500) == pytest.approx(growth, abs=1e-3)
    assert growth > np.sqrt(1 + gan.ETA**2)


SHORT = {"gan": ("train_D", 20), "wgan": ("train", 2), "wgan_gp": ("train", 2)}


def command(name: str, monkeypatch, *words: object) -> None:
    """Call a command, its training cut short."""
    module = importlib.import_module(f"ideas.{name}")
    function, steps = SHORT[name]
    monkeypatch.setattr(module, function, functools.partial(getattr(module, function), steps=steps))
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    module.main()


@pytest.mark.parametrize("name", SHORT)
def test_a_command_prints_its_table_and_draws(name, tmp_path, monkeypatch, capsys):
    command(name, monkeypatch, "--seed", 3, "--out", tmp_path / "new" / "folder")
    table, path = capsys.readouterr().out.rsplit("\n", 2)[:2]
    assert table.startswith("| what | true | measured |\n|---|---|---|\n")
    assert all(line.count(" | ") == 2 for line in table.splitlines() if "---" not in line)
    assert path == str(tmp_path / "new" / "folder" / f"{name}.png")
    assert Image.open(path).width > 1000


@pytest.mark.parametrize("name", SHORT)
def test_what_the_user_can_put_right_is_one_line(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(importlib.import_module(f"ideas.{name}"), "draw", lambda *found: Figure())
    with pytest.raises(SystemExit, match=rf"^{name}.py: .*file can't be made a folder: [^\n]*$"):
        command(name, monkeypatch, "--out", tmp_path / "file")
    with pytest.raises(SystemExit) as stop:
        command(name, monkeypatch, "--seed", -1)
    assert stop.value.code == 2
    assert "--seed" in capsys.readouterr().err
