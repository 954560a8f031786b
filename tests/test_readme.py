"""The commands and numbers of README, docs and docstrings are those of the code."""

import dataclasses
import importlib
import re
import shlex

import pytest
from conftest import LESSONS, ROOT, small

from evaluation.tables import COLUMNS

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}


def commands(text: str) -> list[str]:
    """Command lines of the project's scripts in a text, with their continuation lines."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.findall(rf"^\s*(?:Run it:\s+)?python ((?:{'|'.join(LESSONS)})\.py[^#\n;&|]*)", joined, re.M)


def every_command() -> list[str]:
    docstrings = [importlib.import_module(script).__doc__ or "" for script in LESSONS]
    found = {command.strip() for text in (README, *PAGES.values(), *docstrings) for command in commands(text)}
    found = {re.sub(r" --out \S+", "", command) for command in found}
    # Those that need a run or pictures to be there are those of test_checkpoints.py, test_common.py and test_folders.py
    return sorted(c for c in found if not {"--resume", "--sample", "--data"} & set(c.split()))


@pytest.mark.parametrize("command", every_command())
def test_every_command_that_is_shown_is_accepted(command, command_line, monkeypatch, tmp_path):
    """The flags exist, and the run starts: two steps of it."""
    script, *words = shlex.split(command)
    words = [
        re.sub(r"^\d{4,}$", "64", word) if before == "--batch-size" else word
        for before, word in zip(["", *words], words)
    ]
    name = script.removesuffix(".py")
    quick = dict(zip(small(name)[::2], small(name)[1::2]))
    words = [quick.get(before, word) for before, word in zip(["", *words], words)]
    words += [word for flag, value in quick.items() if flag not in words for word in (flag, value)]
    code, _, err = command_line(name, *words, "--steps", 2)
    assert code == 0, err


def test_the_settings_in_the_docs_are_the_defaults():
    header, *rows = re.search(r"^\| setting \|.*\n\|[-|]*\n((?:\|.*\n)+)", PAGES["results.md"], re.M)[0].splitlines()
    scripts, values = cells(header)[1:], [cells(row) for row in rows[1:]]
    assert set(scripts) == set(LESSONS)
    assert len(values) >= 4
    for name, *shown in values:
        for script, value in zip(scripts, shown, strict=True):
            defaults = {f.name: f.default for f in dataclasses.fields(importlib.import_module(script).Hyperparameters)}
            assert value == str(defaults.get(name, "–")), (script, name)


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_table_of_results_has_the_columns_of_the_command_and_stands_in_readme_alone():
    header = "| script | seeds | " + " | ".join(COLUMNS) + " |\n"
    assert README.count(header) == 1
    rows = README.split(header)[1].split("\n\n")[0].splitlines()[1:]
    assert len(rows) >= 4
    for name, text in PAGES.items():
        assert not [row for row in rows if row in text], name


def test_readme_is_for_the_first_ten_minutes():
    assert len(README.splitlines()) <= 120


def test_both_languages_have_the_same_commands_links_and_numbers():
    def blocks(text: str) -> list[str]:
        return [re.sub(r" *#.*", "", block) for block in re.findall(r"```sh\n(.*?)```", text, re.S)]

    def links(text: str) -> list[str]:
        return sorted(set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh-CN.md"})

    def rows(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("|") and "±" in line]

    assert blocks(README) == blocks(CHINESE)
    assert links(README) == links(CHINESE)
    assert rows(README) == rows(CHINESE)
    assert "README.zh-CN.md" in README.splitlines()[0]
    assert "README.md" in CHINESE.splitlines()[0]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", *PAGES])
def test_every_link_leads_somewhere(name):
    text = {"README.md": README, "README.zh-CN.md": CHINESE, **PAGES}[name]
    folder = ROOT / "docs" if name in PAGES else ROOT
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if not link.startswith("http"):
            assert (folder / link).exists(), link
