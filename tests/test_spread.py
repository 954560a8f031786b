"""Training images that are too few or all alike, and a G that makes one image: each is said once, in one line."""

import pytest
import torch
from conftest import SCRIPTS, TINY, colour_shape, small
from PIL import Image

from training.pictures import FROM_STEP, IN_A_ROW, Spread, spread


def test_spread_by_hand():
    images = torch.tensor([0, 10], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    assert spread(images) == pytest.approx(5)
    assert spread(images[:1]) == 0


@pytest.fixture
def watch():
    generator = torch.Generator().manual_seed(0)
    return Spread(torch.randint(0, 256, (200, 3, 8, 8), generator=generator).to(torch.uint8))


def looks(watch, how_alike: list[float], capsys, first: int = FROM_STEP) -> list[int]:
    """After which of several grids, 100 steps apart, a line was printed; each line is checked."""
    generator, said = torch.Generator().manual_seed(1), []
    for i, share in enumerate(how_alike):
        noise = torch.rand(64, 3, 8, 8, generator=generator) - 0.5
        watch.look((128 + 255 * share * noise).to(torch.uint8), first + 100 * i, i == len(how_alike) - 1)
        out = capsys.readouterr().out
        if out:
            assert out.count("\n") == 1
            assert "same image for every z" in out
            said.append(i)
    return said


def test_one_image_for_every_z_is_said_once(watch, capsys):
    assert looks(watch, [0.02] * 10, capsys) == [IN_A_ROW - 1]


def test_one_image_in_slight_variations_too(watch, capsys):
    assert looks(watch, [0.16] * 10, capsys) == [IN_A_ROW - 1]


def test_what_is_no_collapse(watch, capsys):
    assert looks(watch, [0.02, 0.02, 0.5, 0.02, 0.02, 0.5], capsys) == []
    assert looks(watch, [0.02] * 4, capsys, first=0) == []
    assert looks(watch, [0.3] * 10, capsys) == []


def test_a_collapse_at_the_end_of_a_run(watch, capsys):
    assert looks(watch, [0.5, 0.5, 0.0], capsys) == [2]


def test_a_collapsed_run_says_so(command_line, monkeypatch):
    import fgan

    forward = fgan.Generator.forward
    monkeypatch.setattr("training.pictures.FROM_STEP", 3)
    monkeypatch.setattr(fgan.Generator, "forward", lambda self, z: forward(self, z * 0 + 0.5))
    code, out, _ = command_line("fgan", *TINY[2:], "--steps", 18)
    assert code == 0
    assert out.count("same image for every z") == 1


@pytest.mark.parametrize(("script", "kind"), [*((name, "alike") for name in SCRIPTS), ("fgan", "one"), ("fgan", "few")])
def test_few_or_equal_training_images(script, kind, command_line, tmp_path):
    """The training goes on; what it can't bring is said."""
    (tmp_path / "mine").mkdir()
    for i in range(1 if kind == "one" else 5):
        image = colour_shape((20, 20), i) if kind == "few" else Image.new("RGB", (20, 20), "white")
        image.save(tmp_path / "mine" / f"{i}.png")
    flags = ("--data", "mine", "--image-size", 16, "--data-dir", "kept")
    code, out, err = command_line(script, *TINY, *small(script), *flags, data=False)
    assert code == 0, err
    words = {"one": "images are the same one (1)", "alike": "images are the same one (5)", "few": "5 training"}
    assert out.count(words[kind]) == 1
