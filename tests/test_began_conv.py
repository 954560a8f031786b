"""began_conv.py: the paper's networks, D's head start, and how little else differs from began.py."""

import ast
import csv
import difflib

import pytest
from conftest import ROOT
from torch import nn

import began_conv
import common


def definitions(name: str) -> dict[str, str]:
    """The functions and classes of a script, and a class's methods, by name, without Hyperparameters."""
    text = (ROOT / name).read_text(encoding="utf-8")
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return {node.name: ast.get_source_segment(text, node) for node in nodes if node.name != "Hyperparameters"}


def test_the_two_are_twins():
    """They differ in docstring, constants, networks, and in what only the convolutional game needs."""
    ours, theirs = definitions("began_conv.py"), definitions("began.py")
    networks = {"Generator", "Discriminator", "Encoder", "Decoder", "stages", "initialise"}
    assert ours.keys() - theirs.keys() == networks - theirs.keys() | {"learn_to_draw"}
    assert theirs.keys() <= ours.keys()
    different = {name for name in theirs if ours[name] != theirs[name]}
    assert different == {"Generator", "Discriminator", "train"}
    diff = difflib.unified_diff(theirs["train"].splitlines(), ours["train"].splitlines(), n=0, lineterm="")
    changed = [line for line in diff if line[0] in "+-"][2:]
    assert len(changed) <= 8
    about = ("head_start", "learn_to_draw", "channels_last", "Generator(hp)", "update_k(k, ", "checkpoint is", "gamma=")
    assert all(any(word in line for word in about) for line in changed), changed


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3)])
def test_networks_at_every_size(size, channels, paper):
    settings = {"n_G": 6, "n_D": 4, "h": 8, "z_dim": 5, "batchnorm": False, "skip": not paper, "strides": paper}
    settings["upsampling"] = "nearest" if paper else "bilinear"
    hp = began_conv.Hyperparameters(image_size=size, channels=channels, **settings)
    G, D = began_conv.Generator(hp), began_conv.Discriminator(hp)
    image = G(common.noise(2, 5))
    assert image.shape == D(image).shape == (2, channels, size, size)
    forbidden = (nn.BatchNorm2d, nn.ConvTranspose2d, nn.Dropout)
    assert not any(isinstance(m, forbidden) for net in (G, D) for m in net.modules())


def test_batchnorm_is_for_G_alone():
    hp = began_conv.Hyperparameters(image_size=28, channels=1, n_G=6, n_D=4)
    G, D = began_conv.Generator(hp), began_conv.Discriminator(hp)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in G.modules()) == sum(isinstance(m, nn.ELU) for m in G.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in D.modules())


def test_stages():
    assert [began_conv.stages(size) for size in (8, 28, 32, 64, 128)] == [0, 2, 2, 3, 4]


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_D_learns_to_draw_before_the_game(gamma, command_line, tmp_path, monkeypatch):
    """It ends as a better autoencoder than it began. In the game k then follows the error as a share of L(x)."""
    drawn = []
    learn = began_conv.learn_to_draw

    def watched(D, steps, run):
        x = run.real()
        before = began_conv.reconstruction_loss(D, x, 2).item()
        learn(D, steps, run)
        drawn.append((before, began_conv.reconstruction_loss(D, x, 2).item(), steps))

    monkeypatch.setattr(began_conv, "learn_to_draw", watched)
    flags = ("--n-D", 4, "--n-G", 4, "--no-skip", "--log-every", 1, "--batch-size", 16, "--gamma", gamma)
    assert command_line("began_conv", *flags, "--head-start", 60, "--steps", 1)[0] == 0
    assert command_line("began_conv", *flags, "--head-start", 3, "--steps", 6)[0] == 0
    assert command_line("began_conv", *flags, "--head-start", 3, "--steps", 7, "--resume")[0] == 0
    assert len(drawn) == 2  # what is resumed has learned it
    assert drawn[0][1] < 0.6 * drawn[0][0]
    rows = list(csv.DictReader((tmp_path / "out/began_conv/log.csv").open(encoding="utf-8")))
    k = began_conv.Hyperparameters.k_start
    for row in rows:
        error = gamma - float(row["L_fake"]) / float(row["L_real"])
        assert (error > 0) == (gamma == 1)  # so k rises in one run and falls in the other
        k = min(1, k + began_conv.Hyperparameters.lambda_k * max(-1, min(1, error)))
        assert float(row["k"]) == pytest.approx(k, rel=1e-5)
