"""Variables of the environment that we or a library read: empty is unset, nonsense is one line."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, SCRIPTS, TINY, small

from training.files import UserError
from training.machine import TORCHRUN, choose_device, from_torchrun

ALL = {
    "WORLD_SIZE": "2",
    "RANK": "1",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29400",
}


@pytest.fixture
def told(monkeypatch):
    def tell(**variables: str) -> dict[str, int]:
        for name in TORCHRUN:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return from_torchrun()

    return tell


def test_empty_is_unset(told):
    alone = {"WORLD_SIZE": 1, "RANK": 0, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
    assert told() == told(**dict.fromkeys(TORCHRUN, "")) == told(WORLD_SIZE=" ", MASTER_ADDR="x") == alone
    assert told(**ALL) == {"WORLD_SIZE": 2, "RANK": 1, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}
    assert (
        told(LOCAL_WORLD_SIZE="", **{n: v for n, v in ALL.items() if n != "LOCAL_WORLD_SIZE"})["LOCAL_WORLD_SIZE"] == 2
    )
    for name in TORCHRUN:
        told(**{name: ""})
        assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", TORCHRUN)
def test_half_of_torchruns_variables_or_nonsense_is_one_line(name, told):
    wrong = [{**ALL, name: value} for value in ("x", "-1", "1.5")] if name != "MASTER_ADDR" else []
    wrong += [{n: v for n, v in ALL.items() if n != name}] if name != "LOCAL_WORLD_SIZE" else []
    wrong += [{**ALL, name: ""}] if name not in ("LOCAL_WORLD_SIZE", "WORLD_SIZE") else []
    wrong += [{name: ALL[name]}] if not name.startswith("MASTER") else []
    for variables in wrong:
        with pytest.raises(UserError, match=r"torchrun sets WORLD_SIZE.* together") as error:
            told(**variables)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_says_so(script, forked, tmp_path):
    runs = [forked.start(f"{script}.py", cwd=tmp_path, **{name: "2"}) for name in ("WORLD_SIZE", "LOCAL_RANK")]
    for run in runs:
        code, _, err = run.wait()
        assert code == 1
        assert err.count("\n") == 1
        assert f"{script}.py: " in err
    assert not (tmp_path / "out").exists()
    empty = dict.fromkeys((*TORCHRUN, "MPLBACKEND", "COLUMNS", "TMPDIR", "PYTHONIOENCODING"), "")
    code, _, err = forked.start(f"{script}.py", *TINY, *small(script), "--data-dir", "d", cwd=tmp_path, **empty).wait()
    assert code == 0, err


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("MPLBACKEND", "nonsense", 1),
        ("COLUMNS", "1", 0),
        ("COLUMNS", "wide", 0),
        ("TMPDIR", "/nowhere", 0),
        ("OMP_NUM_THREADS", "many", 0),
        ("http_proxy", "nonsense:port", 0),
        ("PYTHONIOENCODING", "ascii", 0),
    ],
)
def test_what_libraries_read(name, value, code, tmp_path):
    """A value that a library can't use is one line at the start, or does no harm: to a run, and to --help."""
    flags = [*map(str, TINY), "--data-dir", "d", "--width", "4", "--hidden", "8"]
    program = "import sys, fgan, common; hp = fgan.Hyperparameters(steps=2, batch_size=8, data_dir='d'); fgan.train(hp)"
    environment = {**os.environ, name: value, "PYTHONPATH": str(ROOT)}
    words = [[str(ROOT / "fgan.py"), "--help"], [str(ROOT / "fgan.py"), *flags], ["-c", program]]
    for i, command in enumerate(words[1:] if name != "COLUMNS" else words[:2]):
        pipes = {"capture_output": True, "encoding": "utf-8", "timeout": 200}
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, check=False, **pipes)
        assert done.returncode == code, (i, done.stderr)
        assert "Traceback" not in done.stderr
        if code:
            assert len(done.stderr.strip().splitlines()) == 1
            assert not (tmp_path / "out").exists()
