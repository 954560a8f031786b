"""run.picture: what a script draws besides its samples, and that nothing learned depends on it."""

import numpy as np
import pytest
import torch
from conftest import TINY, assert_same_run, small, tensors
from PIL import Image
from torch import nn

import common
from training.earlier import read_checkpoint
from training.files import UserError
from training.pictures import Drawings

IMAGES = torch.zeros(2, 1, 4, 4)


@pytest.mark.parametrize("script", ["began", "began_conv"])
def test_both_began_draw_what_the_judge_sees(script, command_line, tmp_path):
    assert command_line(script, *TINY, *small(script))[0] == 0
    folder = tmp_path / "out" / script
    assert sorted(p.name for p in (folder / "reconstructions").iterdir()) == ["000003.png", "000006.png"]
    assert (folder / "reconstructions.png").read_bytes() == (folder / "reconstructions/000006.png").read_bytes()
    picture = np.asarray(Image.open(folder / "reconstructions.png"))
    assert picture.shape == (2 + 4 * 58, 2 + 8 * 58, 3)  # x, D(x), G(z), D(G(z)) of a batch of 8
    assert picture[2:58, 2:58].max() > 200  # a digit


def test_nothing_learned_depends_on_a_picture(command_line, tmp_path, monkeypatch):
    """Also if it draws random numbers, and runs networks with BatchNorm, at every step."""
    real, drawn = common.Run.log, []

    def greedy(run) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        drawn.append(run.step)
        torch.rand(7)
        networks = [part for part in run.parts.values() if isinstance(part, nn.Module)]
        assert not any(network.training for network in networks)
        return torch.cat([run.parts["G"](run.noise()), run.parts["G_ema"](run.noise()).neg()])

    def log(run, **values):
        real(run, **values)
        run.picture("greedy", greedy, run)

    flags = (*TINY[2:], "--steps", 8, "--sample-every", 1)
    assert command_line("dcgan", *flags, "--out", "without")[0] == 0
    monkeypatch.setattr(common.Run, "log", log)
    assert command_line("dcgan", *flags, "--out", "with")[0] == 0
    assert drawn == list(range(1, 9))
    assert command_line("dcgan", *flags, "--steps", 5, "--out", "resumed")[0] == 0
    assert command_line("dcgan", *flags, "--out", "resumed", "--resume")[0] == 0
    a, b = (tensors(read_checkpoint(tmp_path / name, None)) for name in ("without", "with"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert_same_run(tmp_path / "with", tmp_path / "resumed")
    for name in ("greedy.png", *(f"greedy/{step:06d}.png" for step in range(1, 9))):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()


@pytest.mark.parametrize("name", ["a/b", "", "..", "samples", "real"])
def test_a_name_that_no_picture_can_have(name):
    with pytest.raises(UserError, match=r"run\.picture\(.*give a name of letters"):
        Drawings().name(1, name, lambda: IMAGES, ())


def test_images_in_place_of_a_function():
    with pytest.raises(UserError, match=r"a function and what it takes"):
        Drawings().name(1, "x", IMAGES, ())


def test_the_same_name_twice_in_a_step():
    drawings = Drawings()
    for step in (1, 2):
        drawings.name(step, "x", lambda: IMAGES, ())
    with pytest.raises(UserError, match="x twice in step 2"):
        drawings.name(2, "x", lambda: IMAGES, ())


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "a NoneType"),
        ([1], "a list"),
        (torch.zeros(3, 4), r"of shape \(3, 4\)"),
        (torch.zeros(1, 2, 4, 4), "shape"),
    ],
)
def test_what_is_no_image(made, words):
    drawings = Drawings()
    drawings.name(1, "x", lambda: made, ())
    with pytest.raises(UserError, match=rf"run\.picture: x is .*{words}.*: give images"):
        drawings.draw(1, [])


def test_a_value_that_is_no_image_ends_the_run_in_one_line(command_line, monkeypatch):
    import began

    monkeypatch.setattr(began, "reconstructions", lambda *_: 3)
    code, _, err = command_line("began", *TINY)
    assert code == 1
    assert "run.picture: reconstructions is a int: give images" in err.strip().splitlines()[-1]


def test_only_the_pictures_of_this_step_are_drawn():
    drawings, calls = Drawings(), []
    drawings.name(3, "x", lambda *of: calls.append(of) or IMAGES, (1, 2))
    assert drawings.draw(2, []) == {}
    assert drawings.draw(3, [])["x"].size == (2 + 2 * 58, 2 + 58)
    assert calls == [(1, 2)]
    assert drawings.draw(4, []) == {}
    assert list(drawings.last) == ["x"]  # a notebook shows the last one at the end


def test_networks_are_afterwards_in_the_mode_in_which_they_were():
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout())
    net[1].eval()
    drawings = Drawings()
    drawings.name(1, "x", lambda: IMAGES, ())
    drawings.draw(1, [net])
    assert (net.training, net[0].training, net[1].training) == (True, True, False)
