"""The commands and numbers of README and docstrings are those of the code."""

import dataclasses
import importlib
import re
import shlex

import pytest
from conftest import ROOT, SCRIPTS

from workshop.report import COLUMNS

README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """Command lines of the project's scripts in a text, with their continuation lines."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.findall(
        r"^\s*(?:Run it:\s+)?python ((?:began|began_conv|dcgan|fgan|wgan|wgan_gp)\.py[^#\n;&|]*)", joined, re.M
    )


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
    small = {"--n-D": "4", "--n-G": "4", "--width": "4"}
    words = [small.get(before, word) for before, word in zip(["", *words], words)]
    words += ["--head-start", "2"] * (script == "began_conv.py")
    code, _, err = command_line(script.removesuffix(".py"), *words, "--steps", 2)
    assert code == 0, err


def test_readme_table_has_the_columns_and_defaults_of_the_code():
    columns = "| script | " + " | ".join(COLUMNS) + " | seconds |"
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
