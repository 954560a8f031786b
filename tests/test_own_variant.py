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
    for folder in ("training", "evaluation"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
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


def test_the_tests_of_the_house_take_it_for_one_of_ours(house):
    """Also once it is added to git, and as the plain copy that it was before it was changed."""
    for folder in ("tests", "docs"):
        shutil.copytree(ROOT / folder, house / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "README.zh-CN.md"):
        shutil.copy(ROOT / name, house)
    shutil.copy(ROOT / "dcgan.py", house / "copied.py")
    for words in (["init", "-q"], ["add", "hinge.py", "copied.py", "common.py"]):
        subprocess.run(["git", *words], cwd=house, check=True)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-k",
        "not ruff and not newer",
    ]
    done = subprocess.run(
        [*words, "tests/test_house.py"], cwd=house, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout
    files = [f"tests/test_{name}.py" for name in ("signals", "hyperparameters", "checkpoints")]
    words = [*words[:-2], "--collect-only", *files]
    found = subprocess.run(words, cwd=house, capture_output=True, encoding="utf-8", check=True).stdout
    for test in ("test_killed_at_random_moments", "test_every_hyperparameter_matters", "test_resumed_in_the_middle"):
        assert re.search(rf"{test}\w*\[hinge", found), test


def test_the_page_names_what_a_script_needs():
    """Each name in the page's table and list is one of the code."""
    for name in re.findall(r"`run\.(\w+)\(", PAGE):
        assert callable(getattr(common.Run, name))
    for name in re.findall(r"`common\.(\w+)", PAGE):
        assert hasattr(common, name)
