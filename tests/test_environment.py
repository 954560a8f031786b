"""Variables of the environment that we or a library read: empty is unset, nonsense is one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY, small

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


def test_a_script_says_so(forked, tmp_path):
    """Every script asks as this one does: all call common.main."""
    runs = [forked.start("fgan.py", cwd=tmp_path, **{name: "2"}) for name in ("WORLD_SIZE", "LOCAL_RANK")]
    for run in runs:
        code, _, err = run.wait()
        assert code == 1
        assert err.count("\n") == 1
        assert "fgan.py: " in err
    assert not (tmp_path / "out").exists()


EVERYTHING = """
import sys
import common, fgan
data_dir, *flags = sys.argv[1:]
for words in (["--help"], flags):
    sys.argv = ["fgan.py", *words]
    try:
        common.main(fgan.Hyperparameters, fgan.Generator, fgan.train)
    except SystemExit as stop:
        assert stop.code == 0
fgan.train(fgan.Hyperparameters(steps=2, batch_size=8, data_dir=data_dir, width=4, hidden=8, out="from Python"))
"""

HARMLESS = {
    **{"COLUMNS": "1", "TMPDIR": "/nowhere", "OMP_NUM_THREADS": "many"},
    **{"http_proxy": "nonsense:port", "PYTHONIOENCODING": "ascii"},
}
EMPTY = dict.fromkeys((*TORCHRUN, "MPLBACKEND", "TMPDIR", "PYTHONIOENCODING"), "")


def started(*words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
    """A process of its own: most libraries read their variables when they are imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive", **variables}
    pipes = {"capture_output": True, "encoding": "utf-8", "timeout": 200}
    return subprocess.run([sys.executable, *map(str, words)], cwd=cwd, env=environment, check=False, **pipes)


@pytest.mark.parametrize("variables", [HARMLESS, EMPTY | {"COLUMNS": "wide"}], ids=["nonsense", "empty"])
def test_what_does_no_harm(variables, tmp_path, data_dir):
    """All at once, to --help, to the command line and to a training from Python."""
    digits = "none here" if variables is HARMLESS else data_dir  # a download is tried: it reads http_proxy
    flags = (*TINY, *small("fgan"), "--data-dir", digits)
    done = started("-c", EVERYTHING, data_dir, *flags, cwd=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "usage:" in done.stdout
    for folder in ("out/fgan", "from Python"):
        assert (tmp_path / folder / "samples.png").exists()


def test_what_can_not_be_used_is_one_line(tmp_path):
    done = started(ROOT / "fgan.py", cwd=tmp_path, MPLBACKEND="nonsense")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "MPLBACKEND" in done.stderr
    assert not (tmp_path / "out").exists()
