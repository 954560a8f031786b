"""What holds for every lesson, or for several of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LESSONS, ROOT, SCRIPTS, colour_shape, small

import began
import common
import evaluate

every_script = pytest.mark.parametrize("script", SCRIPTS)


def test_a_script_is_one_lesson():
    for script in LESSONS:
        text = (ROOT / f"{script}.py").read_text(encoding="utf-8")
        assert text.startswith('r"""')  # raw, so that the commands can be copied from the file as they stand
        for part in ("Departures from the paper", "Run it:", "The paper's own constants"):
            assert part in text, (script, part)
        order = ["class Hyperparameters", "class Generator", "class Discriminator", "def train", "if __name__"]
        places = [text.index(part) for part in order]
        assert places == sorted(places)


def test_one_forward_pass_gives_each_player_its_own_gradient(command_line, monkeypatch):
    """The gradients are those of two separate passes: D's with G's images detached, G's with D frozen."""
    batch, compared = {}, []
    real_steps, real, noise, average_gradients = (
        *(common.Run.steps, common.Run.real, common.Run.noise),
        common.average_gradients,
    )

    def steps(run, **parts):
        batch.update(parts, hp=run.hp)
        yield from real_steps(run, **parts)

    def compare(network):
        average_gradients(network)
        G, D, hp, x = (batch[key] for key in ("G", "D", "hp", "x"))
        fake = G(batch["z"])
        errors = (began.reconstruction_loss(D, v, hp.eta) for v in (x, fake.detach()))
        loss_D = began.discriminator_loss(*errors, batch["k"])
        loss_G = began.reconstruction_loss(D, fake, hp.eta)
        expected = torch.autograd.grad(loss_D if network is D else loss_G, list(network.parameters()))
        found = [p.grad for p in network.parameters()]
        torch.testing.assert_close(found, list(expected), rtol=1e-4, atol=1e-6)
        if network is D:
            batch["D's"] = [g.clone() for g in found]
        else:
            assert all(torch.equal(a, p.grad) for a, p in zip(batch["D's"], D.parameters()))
        compared.append("D" if network is D else "G")

    monkeypatch.setattr(common.Run, "steps", steps)
    monkeypatch.setattr(common.Run, "real", lambda run: batch.setdefault("x", real(run)))
    monkeypatch.setattr(common.Run, "noise", lambda run: batch.setdefault("z", noise(run)))
    monkeypatch.setattr(common, "average_gradients", compare)
    code, _, err = command_line("began", "--steps", 4, "--batch-size", 8, "--precision", "float32")
    assert code == 0, err
    assert compared == ["D", "G"] * 4


@pytest.fixture(scope="session")
def many_shapes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "shapes"
    folder.mkdir()
    for i in range(240):
        colour_shape((40, 36), i).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def references() -> dict:
    """What evaluations share."""
    return {}


@pytest.mark.parametrize(("size", "channels"), [(28, 3), (32, 1), (64, 3)])
@pytest.mark.parametrize(
    ("script", "flags"),
    [
        *((script, ()) for script in SCRIPTS),
        ("began_conv", ("--no-skip",)),
    ],
)
def test_every_script_learns_from_a_folder_at_any_size(
    script, flags, size, channels, many_shapes, references, command_line, tmp_path
):
    flags += (*small(script), "--steps", 3, "--batch-size", 8, "--log-every", 1)
    settings = ("--data", many_shapes, "--image-size", size, "--channels", channels)
    code, out, err = command_line(script, *flags, *settings, data=False)
    assert code == 0, err
    assert f"240 images {channels}×{size}×{size}" in out
    code, _, err = command_line(script, "--sample", 120, data=False)
    assert code == 0, err
    assert np.load(tmp_path / f"out/{script}/samples.npz")["arr_0"].shape == (120, size, size, channels)
    if size == 64:
        numbers = evaluate.evaluate(f"out/{script}", evaluate.Options(targets=("x",), samples=120), references).numbers
        assert numbers["fid"] is None
        assert numbers["floor"]["coverage"] > 0.5
        assert numbers["coverage"] < numbers["floor"]["coverage"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_lesson_updates_the_average_of_G_at_every_step(script, command_line, monkeypatch):
    seen = []
    monkeypatch.setattr(common.EMA, "update", lambda ema, step: seen.append(step))
    code, _, err = command_line(script, "--steps", 4, "--batch-size", 8, *small(script))
    assert code == 0, err
    assert seen == [1, 2, 3, 4]


@every_script
def test_bfloat16_begins_as_float32_does(script, command_line, tmp_path):
    rows = []
    for precision in ("float32", "bfloat16"):
        flags = ("--steps", 2, "--batch-size", 8, "--log-every", 1, "--precision", precision, "--out", precision)
        assert command_line(script, *flags, *small(script))[0] == 0
        rows.append(np.loadtxt(tmp_path / precision / "log.csv", delimiter=",", skiprows=1)[0])
    assert (rows[0] != rows[1]).any()
    np.testing.assert_allclose(rows[1], rows[0], rtol=0.05, atol=0.05)
