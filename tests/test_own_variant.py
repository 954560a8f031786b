"""docs/own-variant.md: the script that it makes out of dcgan.py trains, goes on, samples and is evaluated."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, TINY
from test_exercises import edited

import common

PAGE = (ROOT / "docs/own-variant.md").read_text(encoding="utf-8")


@pytest.fixture
def house(tmp_path):
    """The project without its runs, and hinge.py in it."""
    for path in ROOT.glob("*.py"):
        shutil.copy(path, tmp_path)
    shutil.copytree(ROOT / "workshop", tmp_path / "workshop", ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "dcgan.py").read_text(encoding="utf-8")
    diff = re.search(r"```diff\n--- dcgan\.py\n\+\+\+ hinge\.py\n(.*?)```", PAGE, re.S)[1]
    changes = re.findall(r"(?:^-.*\n)+(?:^\+.*\n)+", diff, re.M)
    assert "".join(changes) == diff
    for change in changes:
        text = edited(text, change)
    (tmp_path / "hinge.py").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_new_script_is_one_like_the_others(house, data_dir, known):
    def call(script: str, *words: object) -> str:
        command = [sys.executable, script, *map(str, words), "--data-dir", data_dir]
        done = subprocess.run(command, cwd=house, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    call("hinge.py", *TINY)
    call("hinge.py", *TINY, "--steps", 9, "--resume")
    call("hinge.py", "--sample", 120)
    assert (house / "out/hinge/log.csv").read_text().splitlines()[0] == "step,loss_D,loss_G,D_real,D_fake"
    assert "hinge" in call("evaluate.py", "out/hinge", "out/hinge/samples.npz", "--samples", 120)
    assert (house / "out/hinge/metrics.json").is_file()


def test_the_page_names_what_a_script_needs():
    """Each name in the page's table and list is one of the code."""
    for name in re.findall(r"`run\.(\w+)\(", PAGE):
        assert callable(getattr(common.Run, name))
    for name in re.findall(r"`common\.(\w+)", PAGE):
        assert hasattr(common, name)
