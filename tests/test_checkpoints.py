"""Going on from a checkpoint; malformed ones of every kind: one line, nothing executed, nothing half-written."""

import dataclasses
import io
import math
import os
import pickle
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, SCRIPTS, TINY, assert_same_run, small
from torch import nn

from training import checkpoints, earlier
from training.datasets import Dataset
from training.files import Diverged, UserError

every_script = pytest.mark.parametrize("script", SCRIPTS)


@every_script
def test_resumed_in_the_middle_equals_undisturbed(script, command_line, tmp_path):
    assert command_line(script, *TINY, *small(script), "--out", "whole")[0] == 0
    assert command_line(script, *TINY[2:], *small(script), "--steps", 3, "--out", "parts")[0] == 0
    code, _, err = command_line(script, *TINY, *small(script), "--out", "parts", "--resume")
    assert code == 0, err
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_resuming_a_finished_run_says_so(command_line, tmp_path):
    assert command_line("fgan", *TINY, *small("fgan"))[0] == 0
    before = (tmp_path / "out/fgan/checkpoint.pt").read_bytes()
    code, out, _ = command_line("fgan", *TINY, *small("fgan"), "--resume")
    assert code == 0
    assert "6 steps already" in out
    assert (tmp_path / "out/fgan/checkpoint.pt").read_bytes() == before


def test_a_run_that_was_stopped_in_its_last_pictures_gets_them(command_line, tmp_path):
    assert command_line("fgan", *TINY, *small("fgan"))[0] == 0
    folder = tmp_path / "out/fgan"
    whole = [(folder / name).read_bytes() for name in ("samples.png", "training.gif")]
    for name in ("samples.png", "training.gif"):
        (folder / name).unlink()
    assert command_line("fgan", *TINY, *small("fgan"), "--resume")[0] == 0
    assert [(folder / name).read_bytes() for name in ("samples.png", "training.gif")] == whole


def test_resuming_with_other_data_or_fewer_steps_is_refused(command_line, tmp_path):
    assert command_line("fgan", *TINY, *small("fgan"))[0] == 0
    path = tmp_path / "out/fgan/checkpoint.pt"
    content = torch.load(path, weights_only=True)
    code, _, err = command_line("fgan", *TINY[2:], *small("fgan"), "--steps", 5, "--resume")
    assert code == 1
    assert "is at step 6 already, and --steps is 5" in err
    torch.save({**content, "data": "mnist, of another world", "identity": "other"}, path)
    code, _, err = command_line("fgan", *TINY[2:], *small("fgan"), "--steps", 9, "--resume")
    assert code == 1
    assert "learned from mnist, of another world; now there is mnist" in err
    assert err.count("\n") == 1


def test_resuming_another_run_is_refused(command_line, tmp_path):
    assert command_line("fgan", *TINY, *small("fgan"))[0] == 0
    for script, flags, words in [
        ("fgan", ("--divergence", "kl"), "--divergence gan"),
        ("began", ("--out", "out/fgan"), "written by fgan.py, not began.py"),
        ("fgan", ("--out", "nowhere"), f"there is no {Path('nowhere/checkpoint.pt')}"),
    ]:
        code, _, err = command_line(script, *TINY[2:], *small(script), "--steps", 9, "--resume", *flags)
        assert code == 1
        assert words in err
        assert err.count("\n") == 1
    assert not (tmp_path / "nowhere").exists()


class Bomb:
    """Unpickling it would leave a file behind."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def refused(command_line, tmp_path, content: bytes) -> str:
    """What fgan.py says of such a checkpoint, to --sample and to --resume; it must refuse both in one line."""
    folder = tmp_path / "out/fgan"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint.pt").write_bytes(content)
    said = ""
    for flags in (("--sample", 4), ("--resume", "--steps", 9)):
        code, _, err = command_line("fgan", *flags)
        assert code == 1, err
        assert "Traceback" not in err
        assert err.count("\n") == 1
        said = err
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.pt"]
    assert (folder / "checkpoint.pt").read_bytes() == content
    return said


def test_cut_short_and_flipped(good, command_line, tmp_path):
    rng = random.Random(0)
    size = len(good)
    for _ in range(10):
        refused(command_line, tmp_path, good[: rng.randrange(size)])
    survived = 0
    for _ in range(36):
        damaged = bytearray(good)
        for _ in range(rng.choice((1, 1, 5, 50))):
            damaged[rng.randrange(size)] ^= 1 << rng.randrange(8)
        try:
            refused(command_line, tmp_path, bytes(damaged))
        except AssertionError:  # a bit between two entries of the archive, or in a time stamp, changes nothing
            folder = tmp_path / "out/fgan"
            shutil.rmtree(folder)
            folder.mkdir()
            (folder / "checkpoint.pt").write_bytes(damaged)
            ours = earlier.read_checkpoint(folder, "fgan")["networks"]["G"]
            theirs = torch.load(io.BytesIO(good), weights_only=True)["networks"]["G"]
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
            survived += 1
    assert survived < 12


def test_foreign_files(good, command_line, tmp_path):
    trap = tmp_path / "executed"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("a.txt", "hello")
    bomb = io.BytesIO()
    torch.save({"script": "fgan", "step": 1, "hyperparameters": {}, "networks": Bomb(trap)}, bomb)
    numbers = io.BytesIO()
    np.savez(numbers, arr_0=np.zeros(3))
    foreign = [b"", b"PK", b"not a checkpoint", bytes(1000), os.urandom(5000), archive.getvalue(), numbers.getvalue()]
    foreign += [bomb.getvalue(), pickle.dumps(Bomb(trap)), (ROOT / "fgan.py").read_bytes()]
    for content in ([1, 2], {}, {"script": "fgan"}, {"script": 3, "step": 1, "hyperparameters": {}, "networks": {}}):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        foreign.append(buffer.getvalue())
    for content in foreign:
        refused(command_line, tmp_path, content)
    assert not trap.exists()


def test_other_contents(good, command_line, tmp_path):
    """Whole checkpoints that lie: every field in turn replaced by something else."""
    whole = torch.load(io.BytesIO(good), weights_only=True)
    wrong = []
    for value in (None, 3, "x", {}, [], torch.zeros(2)):
        wrong += [{**whole, "networks": {**whole["networks"], "G_ema": value}}]
        wrong += [{**whole, "hyperparameters": {**whole["hyperparameters"], "z_dim": value}}]
        wrong += [{**whole, "hyperparameters": {**whole["hyperparameters"], "hidden": value}}]
    wrong += [
        {**whole, "hyperparameters": {**whole["hyperparameters"], name: value}}
        for name, value in (("z_dim", -3), ("z_dim", 10**15), ("divergence", "x"), ("unknown", 1), ("image_size", -1))
    ]
    wrong += [{**whole, "script": "dcgan"}, {**whole, "script": "../x"}]
    for content in wrong:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        refused(command_line, tmp_path, buffer.getvalue())


def test_a_checkpoint_of_the_earlier_form(good, command_line, tmp_path):
    """From before the moving average of G's weights was called G_ema."""
    whole = torch.load(io.BytesIO(good), weights_only=True)
    networks = {name.replace("G_ema", "G_average"): part for name, part in whole["networks"].items()}
    buffer = io.BytesIO()
    torch.save({**whole, "networks": networks}, buffer)
    assert "of an earlier form" in refused(command_line, tmp_path, buffer.getvalue())


def test_saved_and_put_back_by_itself(tmp_path):
    """Without a run: a network, its optimizer and a tensor, into others of the same form."""

    def parts(seed: int) -> dict:
        torch.manual_seed(seed)
        net = nn.Linear(3, 2)
        opt = torch.optim.Adam(net.parameters(), 0.1)
        net(torch.randn(4, 3)).sum().backward()
        opt.step()
        return {"G": net, "opt": opt, "k": torch.tensor(float(seed))}

    first, second = parts(1), parts(2)
    plain = {"script": "x", "data": "y", "images": 5, "step": 7, "seconds": 1.0, "log": {}, "hyperparameters": {}}
    checkpoints.save_checkpoint(tmp_path, first, plain)
    content = earlier.read_checkpoint(tmp_path, "x")
    assert content["step"] == 7
    earlier.restore_parts(second, content)
    assert torch.equal(first["G"].weight, second["G"].weight)
    assert second["k"] == 1
    moments = [part["opt"].state_dict()["state"][0]["exp_avg"] for part in (first, second)]
    assert torch.equal(*moments)
    with pytest.raises(KeyError):
        earlier.restore_parts({"D": nn.Linear(1, 1)}, content)


def test_a_weight_that_is_not_finite_is_named():
    net = nn.BatchNorm1d(2)
    checkpoints.require_finite({"G": net, "k": torch.tensor(math.nan)}, 3)  # the log looks at what is no network
    net.running_var[1] = math.inf
    with pytest.raises(Diverged, match="weights of G are not finite after step 3"):
        checkpoints.require_finite({"G": net}, 3)


def test_a_tensor_that_is_learned_is_put_back_and_one_of_another_shape_is_refused(tmp_path):
    scale = torch.ones(2, requires_grad=True)
    earlier.restore_parts({"scale": scale}, {"state": {"scale": torch.tensor([3.0, 4.0])}})
    assert scale.tolist() == [3, 4]
    assert scale.requires_grad
    with pytest.raises(ValueError, match=r"scale has shape \(2,\), in the checkpoint \(\)"):
        earlier.restore_parts({"scale": scale}, {"state": {"scale": torch.tensor(5.0)}})


def test_a_part_that_no_checkpoint_holds_is_refused():
    net = nn.Linear(1, 1)
    optimizer = torch.optim.Adam(net.parameters())
    checkpoints.require_parts({"G": net, "opt_G": optimizer, "k": torch.zeros(())})
    with pytest.raises(UserError, match="rate is a StepLR; give networks, optimizers and tensors"):
        checkpoints.require_parts({"G": net, "rate": torch.optim.lr_scheduler.StepLR(optimizer, 5)})


def test_what_a_resumed_run_must_be_given_can_be_typed():
    @dataclasses.dataclass
    class Hp:
        betas: tuple[float, float] = (0.0, 0.9)
        skip: bool = False
        data: str = "here"
        steps: int = 9

    theirs = {"betas": (0.0, 0.9), "skip": False, "data": "there"}
    checkpoint = {"hyperparameters": theirs, "data": "pics", "images": 10, "identity": "a", "step": 1}
    data = Dataset(torch.zeros(10), None, "moved", identity="a")

    def refused(words: str, checkpoint: dict = checkpoint, **changed) -> None:
        with pytest.raises(UserError, match=words) as error:
            earlier.refuse_other_run(checkpoint, Hp(**changed), data, Path("run"))
        assert "\n" not in str(error.value)

    earlier.refuse_other_run(checkpoint, Hp(), data, Path("run"))  # what counts is which images they are
    refused(r"was made with --betas 0.0 0.9 --no-skip: give the same", betas=(0.5, 0.9), skip=True)
    refused("is older than --betas: start anew", {**checkpoint, "hyperparameters": {"skip": False}})
    refused("learned from 8 images of pics; now there are 10 of moved", {**checkpoint, "images": 8})
    refused("learned from pics; now there is moved", {**checkpoint, "identity": "b"})
    refused(
        "learned from moved; now there is other images of that name", {**checkpoint, "data": "moved", "identity": "b"}
    )
    refused("is at step 9 already, and --steps is 5: give 9 or more", {**checkpoint, "step": 9}, steps=5)
    older = {name: value for name, value in checkpoint.items() if name != "identity"}
    refused("learned from pics; now there is moved", older)  # it knows no more than a name
    earlier.refuse_other_run(older, Hp(), Dataset(data.images, None, "pics", identity="a"), Path("run"))
