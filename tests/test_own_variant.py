"""docs/own-variant.md: the script that it makes out of dcgan.py trains, goes on, samples and is evaluated."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
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


IN_ONE_PROCESS = """
import json, runpy, sys
from evaluation import inversion
inversion.STEPS = 3  # for time
for words in json.loads(sys.argv[1]):
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")
"""


def test_the_new_script_is_one_like_the_others(house, data_dir, known):
    commands = [
        *[["hinge.py", *TINY], ["hinge.py", *TINY, "--steps", 9, "--resume"], ["hinge.py", "--sample", 120]],
        ["evaluate.py", "out/hinge", "--samples", 120],
    ]
    orders = json.dumps([[str(word) for word in (*words, "--data-dir", data_dir)] for words in commands])
    process = [sys.executable, "-c", IN_ONE_PROCESS, orders]
    done = subprocess.run(process, cwd=house, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    log = (house / "out/hinge/log.csv").read_text(encoding="utf-8").splitlines()
    assert (log[0], log[-1].split(",")[0]) == ("step,loss_D,loss_G,D_real,D_fake", "9")
    with np.load(house / "out/hinge/samples.npz") as archive:
        assert len(archive["arr_0"]) == 120
    assert (house / "out/hinge/metrics.json").is_file()
    assert "hinge" in done.stdout


def test_the_tests_take_it_for_one_of_ours(house, data_dir):
    """Those of the house, also once it is added to git, and as the plain copy that it was before it was changed; and
    those that every script must pass, of which a few run."""
    for folder in ("tests", "docs"):
        shutil.copytree(ROOT / folder, house / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "README.zh-CN.md"):
        shutil.copy(ROOT / name, house)
    (house / "data").symlink_to(data_dir)
    shutil.copy(ROOT / "dcgan.py", house / "copied.py")
    for words in (["init", "-q"], ["add", "hinge.py", "copied.py", "common.py"]):
        subprocess.run(["git", *words], cwd=house, check=True)
    found = {"checkpoints": "resumed_in_the_middle", "hyperparameters": "every_hyperparameter", "common": "sampling"}
    chosen = f"house and not ruff and not newer and not passes or hinge and ({' or '.join(found.values())})"
    words = ["pytest", "-v", "-p", "no:cacheprovider", "-o", "addopts=", "--durations=9", "-k", chosen]
    files = [f"tests/test_{name}.py" for name in ("house", *found)]
    command = [sys.executable, "-m", *words, *files]
    done = subprocess.run(command, cwd=house, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout
    print(done.stdout)
    for test in ("test_imports_come_from_lower", *found.values()):
        assert re.search(rf"{test}\w*\[hinge\S* PASSED", done.stdout), test


def test_the_page_names_what_a_script_needs():
    """Each name in the page's table and list is one of the code."""
    for name in re.findall(r"`run\.(\w+)\(", PAGE):
        assert callable(getattr(common.Run, name))
    for name in re.findall(r"`common\.(\w+)", PAGE):
        assert hasattr(common, name)
