"""docs/exercises.md: every lesson has its exercises, every edit fits the file as it is and changes what is learned.
Questions at the pictures of ideas/: their edits fit as well, and the answers known without training are right.

That every command of the page runs is held by test_readme.py, as for all pages.
"""

import importlib.util
import re
import sys
from types import ModuleType

import pytest
import torch
from conftest import LESSONS, ROOT, tensors
from test_readme import commands

from benchmarks.figures import exercises
from training.earlier import read_checkpoint

PAGE = (ROOT / "docs/exercises.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\.py\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
EDITS = re.findall(r"```diff\n--- (\w+)\.py\n\+\+\+ \1\.py\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize("script", LESSONS)
def test_a_lesson_has_its_exercises_and_leads_to_them(script):
    section = SECTIONS[script]
    changes = re.findall(r"^\*\*(\d)\. ", section, re.M)
    assert changes == list("123")[: 2 if script == "began_conv" else 3]
    assert section.count("*Expect:*") == len(changes)
    folders = re.findall(rf"--out out/exercises/{script}-(\d)$", section, re.M)
    assert [number for number in folders if number != "0"] == changes
    assert all(command.startswith(f"{script}.py") for command in commands(section))
    text = (ROOT / f"{script}.py").read_text(encoding="utf-8")
    assert "\nExercises:  docs/exercises.md\n" in text


QUESTION = r"\*\*Predict first\.\*\*.*?In ideas/(\w+)\.py\s`([^`]+)`\sbecomes\s`([^`]+)`.*?^    python -m ideas\.(\w+)$"


@pytest.mark.parametrize("script", LESSONS)
def test_a_lesson_begins_with_a_question_at_a_picture(script):
    before = SECTIONS[script].split("**1. ")[0]
    ((name, old, _, command),) = re.findall(QUESTION, before, re.M | re.S)
    assert command == name == {"dcgan": "gan", "began_conv": "began"}.get(script, script)
    assert (ROOT / f"ideas/{name}.py").read_text(encoding="utf-8").count(old) == 1
    assert before.index(f"python -m ideas.{name}") < before.index("<details><summary>Answer</summary>")


def after_the_question(script: str) -> ModuleType:
    """The idea's script as a reader of that question leaves it."""
    ((name, old, new, _),) = re.findall(QUESTION, SECTIONS[script], re.M | re.S)
    module = ModuleType(f"edited_{name}")
    text = (ROOT / f"ideas/{name}.py").read_text(encoding="utf-8").replace(old, new)
    exec(compile(text, f"ideas/{name}.py", "exec"), module.__dict__)
    return module


def test_the_answers_that_need_no_training():
    gan, wgan, began = (after_the_question(script) for script in ("dcgan", "wgan", "began_conv"))
    assert gan.D_BEST[gan.X.sub(1.2).abs().argmin()].item() == pytest.approx(1 / 3, abs=1e-3)
    assert gan.best_objective() == pytest.approx(-0.96, abs=0.005)
    assert pytest.approx(0.5, abs=0.02) == wgan.K
    low, high = (began.play_model(gain, 2000) for gain in began.GAINS)
    assert began.overshoot(low) == pytest.approx(0.044, abs=0.001)
    assert high.max() == 1
    assert [gain * began.SLOPE * began.LAG for gain in began.GAINS] == pytest.approx([0.5, 10])


def edited(text: str, diff: str) -> str:
    """A file after a diff of whole lines, which must fit it at exactly one place."""
    before, after = (
        "".join(line[1:] + "\n" for line in diff.splitlines() if line[0] in kinds) for kinds in (" -", " +")
    )
    assert text.count(before) == 1, before
    return text.replace(before, after)


@pytest.mark.parametrize(("script", "diff"), EDITS, ids=[script for script, _ in EDITS])
def test_an_edit_fits_runs_and_matters(script, diff, command_line, tmp_path, monkeypatch):
    flags = ("--steps", 3, "--batch-size", 8)
    assert command_line(script, *flags, "--out", f"{script}-0")[0] == 0
    copy = tmp_path / f"{script}.py"
    copy.write_text(edited((ROOT / f"{script}.py").read_text(encoding="utf-8"), diff), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(script, copy)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, script, module)
    spec.loader.exec_module(module)
    code, _, err = command_line(script, *flags, "--out", f"{script}-1")
    assert code == 0, err
    a, b = (tensors(read_checkpoint(tmp_path / f"{script}-{i}", script)["networks"]) for i in (0, 1))
    for network in "GD":
        assert any(not torch.equal(a[k], b[k]) for k in a if k.startswith(f"/{network}/"))
    titles = [axes.get_title("left") for axes in exercises(tmp_path, script).axes]
    assert titles[0] == "without a change"
    assert "**1. " + " ".join(titles[1].split()) in " ".join(PAGE.split())


def test_the_page_has_edits():
    assert [script for script, _ in EDITS] == ["dcgan", "wgan", "wgan_gp"]
