"""curves.png: the picture of the log, and its smoothing."""

import numpy as np
import torch
from PIL import Image

from training import log
from training.log import Log


def test_smoothing_keeps_lines_and_ends():
    line = np.arange(50.0)
    assert np.allclose(log.smooth(line, 5), line)
    assert log.smooth([1.0], 3).tolist() == [1.0]
    assert np.allclose(log.smooth([0, 3, 0, 3, 0], 1)[1:4], [1, 2, 1])


def test_names_that_agree_share_a_panel(tmp_path):
    steps = list(range(0, 1000, 10))
    heights = []
    for names in (("loss_D", "loss_G"), ("M", "k", "L_real", "L_fake"), ("a", "b", "c", "d", "e_1", "e_2")):
        columns = {name: np.sin(np.arange(len(steps)) + i) for i, name in enumerate(names)}
        log.save_curves(steps, columns, tmp_path / "curves.png", {})
        picture = np.asarray(Image.open(tmp_path / "curves.png").convert("L"))
        heights.append((picture.shape[0] - 40) / 260)
        assert picture.std() > 10
        for side in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):  # nothing reaches over the edge
            assert side.min() == 255
    assert heights == [1, 2, 3]


def test_a_reference_is_one_dashed_line(monkeypatch, tmp_path):
    """A column whose name ends in _target; the others are drawn pale and dark."""
    from matplotlib.axes import Axes

    drawn = []
    monkeypatch.setattr(Axes, "plot", lambda axes, steps, values, *style, **keywords: drawn.append((style, keywords)))
    monkeypatch.setattr(Axes, "legend", lambda *_, **keywords: None)
    log.save_curves([1, 2], {"D_real": [0.4, 0.6], "D_target": [0.5, 0.5]}, tmp_path / "curves.png", {})
    assert [keywords.get("label") for _, keywords in drawn] == [None, "D_real", "D_target"]
    assert [style for style, _ in drawn] == [(), (), ("--",)]


def test_one_row_of_the_log_is_enough(tmp_path):
    log.save_curves([50], {"M": [1.0]}, tmp_path / "curves.png", {})
    assert Image.open(tmp_path / "curves.png").size == (1100, 300)


def test_the_log_draws_itself(tmp_path):
    log = Log(tmp_path, 1)
    log.start_file()
    for step in (1, 2):
        log.note({"loss_D": torch.tensor(step / 2), "loss_G": 1.0})
        log.write_row(step)
    log.draw()
    assert np.asarray(Image.open(tmp_path / "curves.png").convert("L")).std() > 10
