"""Values given from Python: made plain or refused in one line, so that what is written can be read again."""

import dataclasses
import enum
import fractions
import importlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from conftest import SCRIPTS, small
from torch import nn

import common
import evaluate
from training import checkpoints, earlier, log
from training.files import UserError


class Words(str, enum.Enum):
    FLOAT = "float32"


every_script = pytest.mark.parametrize("script", SCRIPTS)

ODD = {  # what a value of that type may come as
    bool: lambda value: np.bool_(value),
    int: lambda value: np.int64(value),
    float: lambda value: np.float64(value),
    str: lambda value: np.str_(value),
    tuple: lambda value: [torch.tensor(value[0]), *map(np.float32, value[1:])],
}


def tiny(script: str, folder: Path, data_dir: str) -> dict:
    words = small(script)
    few = {name.removeprefix("--").replace("-", "_"): value for name, value in zip(words[::2], words[1::2])}
    return {**few, "steps": 2, "batch_size": 8, "out": folder, "data_dir": Path(data_dir)}


@every_script
def test_what_is_written_can_be_read(script, tmp_path, data_dir, monkeypatch):
    """Every field given as numpy, PyTorch, an enum or a list has it; the run goes on and makes samples."""
    monkeypatch.setattr(log, "save_curves", lambda *_: None)
    module = importlib.import_module(script)
    values = tiny(script, tmp_path / "run", data_dir)
    plain = dataclasses.asdict(module.Hyperparameters(**values))
    odd = {name: ODD[type(value)](value) for name, value in plain.items() if type(value) in ODD}
    odd |= {"device": torch.device("cpu"), "precision": Words.FLOAT, "out": tmp_path / "run"}
    hp = module.Hyperparameters(**odd)
    expected = {**plain, "device": "cpu", "precision": "float32"}
    for name, value in dataclasses.asdict(hp).items():
        assert type(value) is type(expected[name]), name
        assert value == pytest.approx(expected[name]) if isinstance(value, tuple) else value == expected[name], name
    module.train(hp)
    kept = earlier.read_checkpoint(tmp_path / "run", script)
    assert earlier.load_generator(kept, module.Hyperparameters, module.Generator, torch.device("cpu"))
    module.train(module.Hyperparameters(**{**odd, "steps": np.int32(3), "resume": np.True_}))
    assert earlier.read_checkpoint(tmp_path / "run", script)["step"] == 3


@every_script
def test_values_of_another_type_are_refused_as_on_the_command_line(script):
    """Each field of each script gets a value of every wrong type."""
    Hyperparameters = importlib.import_module(script).Hyperparameters
    wrong = ["1e-3", "", 0.5, True, None, (0.5,), (0.5, "x"), 1 + 2j, b"x", {}, object(), fractions.Fraction(1, 2)]
    wrong += [np.array([1.0, 2.0, 3.0]), np.datetime64("2020-01-01"), "ab\nc"]
    for field in dataclasses.fields(Hyperparameters):
        said = []
        for value in wrong:
            try:
                made = getattr(Hyperparameters(**{field.name: value}), field.name)
            except ValueError as error:
                said.append(str(error))
            else:
                assert type(made) in (bool, int, float, str, tuple, type(None)), (field.name, value)
        assert len(said) >= 9, field.name
        assert not [line for line in said if "\n" in line or not line.startswith(common.flag(field.name))]
    for name, value in (("precision", "float16"), ("lr_G", "1e-3"), ("image_size", (16, 16)), ("device", "gpu")):
        if name in {field.name for field in dataclasses.fields(Hyperparameters)}:
            with pytest.raises(ValueError, match=f"{common.flag(name)} .*: must be "):
                Hyperparameters(**{name: value})


@every_script
def test_a_changed_attribute_is_checked_again(script):
    Hyperparameters = importlib.import_module(script).Hyperparameters
    hp = Hyperparameters()
    hp.batch_size, hp.out = np.int64(32), Path("there")
    copy = checkpoints.checked(hp)
    assert (type(copy.batch_size), copy.out, type(hp.batch_size)) == (int, "there", np.int64)  # hp is not touched
    for name, value in (("batch_size", 1), ("steps", "3"), ("device", "cuda:x")):
        with pytest.raises(ValueError, match=common.flag(name)):
            checkpoints.checked(changed(Hyperparameters(), name, value))
    with pytest.raises(ValueError, match="Hyperparameters has no stepz: only "):
        checkpoints.checked(changed(Hyperparameters(), "stepz", 3))


def changed(hp, name: str, value: object):
    setattr(hp, name, value)
    return hp


def test_devices_of_the_command_line_and_of_python():
    for device in ("auto", "cpu", "cuda", "cuda:0", "cuda:11", "mps", torch.device("cuda", 1), torch.device("mps")):
        assert common.Options(device=device, out="x").device == str(device)
        if "mps" not in str(device):
            assert evaluate.Options(targets=("x",), device=device).device == str(device)
    with pytest.raises(ValueError, match="--device cuda:: must be auto, cpu, cuda, cuda:N or mps"):
        common.Options(device="cuda:", out="x")


@dataclasses.dataclass
class Own:
    power: Literal[1, 2] = 1
    sizes: tuple[int, ...] = (1, 2)
    rate: float | str | None = 0.5
    file: Path | None = None
    words: dict | None = None


def test_fields_of_types_of_ones_own():
    own = Own(np.int8(2), np.arange(3), np.float32(0.5))
    checkpoints.make_plain(own)
    assert own == Own(2, (0, 1, 2), 0.5)
    for name, value in (
        ("power", 3),
        ("power", True),
        ("sizes", (1, 0.5)),
        ("rate", ()),
        ("file", Path("a")),
        ("words", {}),
    ):
        with pytest.raises(ValueError, match=f"--{name} .*: must be "):  # a Path has no place in a checkpoint
            checkpoints.make_plain(Own(**{name: value}))


def test_evaluate_takes_the_same(tmp_path):
    options = evaluate.Options(targets=[tmp_path, np.str_("b")], samples=np.int64(200), data_dir=Path("data"))
    assert options.targets == (str(tmp_path), "b")
    assert type(options.samples) is int
    with pytest.raises(ValueError, match="--targets 'out/began': must be tuple"):
        evaluate.Options(targets="out/began")
    with pytest.raises(ValueError, match="--samples '200': must be int"):
        evaluate.Options(targets=("x",), samples="200")


def test_a_learning_rate_that_numpy_has_computed(tmp_path):
    net = nn.Linear(1, 1)
    optimizer = torch.optim.Adam(net.parameters(), np.float64(0.1))
    optimizer.param_groups[0]["lr"] = np.float32(0.5)
    about = {"script": "x", "data": "y", "images": 5, "step": 7, "seconds": 1.0, "log": {}, "hyperparameters": {}}
    checkpoints.save_checkpoint(tmp_path, {"G": net, "opt": optimizer}, about)
    assert earlier.read_checkpoint(tmp_path, "x")["optimizers"]["opt"]["param_groups"][0]["lr"] == 0.5


def test_an_error_of_pytorch_has_no_colours(tmp_path):
    torch.save({"script": np.float64(3)}, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="is no whole checkpoint") as error:
        earlier.read_checkpoint(tmp_path, None)
    assert str(error.value).isprintable()
