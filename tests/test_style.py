"""ruff, and what no linter knows: the README's commands and numbers are those of the code."""

import dataclasses
import importlib
import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT, SCRIPTS

import common
import evaluate

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_ruff(command):
    done = subprocess.run([sys.executable, "-m", "ruff", *command.split(), str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_flat_files_and_no_path_of_any_machine():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    top = {name.split("/")[0] for name in files}
    expected = {*(f"{s}.py" for s in SCRIPTS), "common.py", "evaluate.py", "data", "out", "tests", "docs", ".ci"}
    expected |= {"requirements.txt", "README.md", "pyproject.toml", "LICENSE", ".gitignore"}
    assert top <= expected
    for name in files:
        if name.endswith((".py", ".md", ".toml", ".txt", "run")):
            assert str(ROOT) not in (ROOT / name).read_text(), name


def test_a_script_is_one_lesson():
    for script in SCRIPTS:
        text = (ROOT / f"{script}.py").read_text()
        assert text.startswith('"""')
        for part in ("Departures from the paper", "Run it:", "The paper's own constants"):
            assert part in text, (script, part)
        order = ["class Hyperparameters", "class Generator", "class Discriminator", "def train", "if __name__"]
        places = [text.index(part) for part in order]
        assert places == sorted(places)


def commands(text: str) -> list[str]:
    """Command lines of the project's scripts in a text, with their continuation lines."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.findall(r"^\s*(?:Run it:\s+)?python ((?:began|dcgan|fgan|wgan|wgan_gp)\.py[^#\n;&|]*)", joined, re.M)


def every_command() -> list[str]:
    texts = [README, *((importlib.import_module(script).__doc__ or "") for script in SCRIPTS)]
    found = {command.strip() for text in texts for command in commands(text)}
    # Those that need a run or pictures to be there are those of test_resume.py and test_data.py
    return sorted(c for c in found if not {"--resume", "--sample", "--data"} & set(c.split()))


@pytest.mark.parametrize("command", every_command())
def test_every_command_that_is_shown_is_accepted(command, command_line, monkeypatch, tmp_path):
    """The flags of README and docstrings exist, and the run starts: two steps of it."""
    script, *words = shlex.split(command)
    words = [
        re.sub(r"^\d{4,}$", "64", word) if before == "--batch-size" else word
        for before, word in zip(["", *words], words)
    ]
    small = {"--n": "4", "--G-n": "4", "--width": "4"}
    words = [small.get(before, word) for before, word in zip(["", *words], words)]
    words += ["--head-start", "2"] * (script == "began.py")
    code, _, err = command_line(script.removesuffix(".py"), *words, "--steps", 2)
    assert code == 0, err


def test_readme_table_has_the_columns_and_defaults_of_the_code():
    columns = "| script | " + " | ".join(evaluate.COLUMNS) + " | seconds |"
    assert columns in README
    rows = re.findall(r"^\| `(\w+)\.py` \|(.*)\|$", README, re.M)
    settings = {name: cells for name, cells in rows if "steps" in cells}
    assert set(settings) == set(SCRIPTS)
    for script, cells in settings.items():
        defaults = {f.name: f.default for f in dataclasses.fields(importlib.import_module(script).Hyperparameters)}
        shown = re.findall(r"(\w+) ([^,|]+|\([^)]*\))(?:,|\s*$)", cells.strip())
        assert len(shown) >= 4
        for name, value in shown:
            assert str(defaults[name]) == value.strip(), (script, name)


def test_options_are_known_to_every_script():
    shared = {f.name for f in dataclasses.fields(common.Options)} | {"steps", "batch_size", "seed"}
    for script in SCRIPTS:
        assert shared <= {f.name for f in dataclasses.fields(importlib.import_module(script).Hyperparameters)}
        assert importlib.import_module(script).Hyperparameters().out == f"out/{script}"
