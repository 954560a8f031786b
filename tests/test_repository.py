"""What other programs read of this repository: pyproject.toml (pip, uv), the workflow (GitHub), CITATION.cff."""

import importlib
import re
import shutil
import subprocess
import sys
from email import message_from_string

import pytest
from conftest import ROOT, SCRIPTS
from packaging.requirements import Requirement

WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"
CITATION = ROOT / "CITATION.cff"


def test_the_dependencies_are_those_of_requirements_txt(tmp_path):
    """As pip and uv ask for them."""
    pytest.importorskip("setuptools", "62.6", reason="the first setuptools that reads dependencies from a file")
    for name in ("pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("training", "data", "out"):  # setuptools takes them for packages, unless it is told what there is
        (tmp_path / name).mkdir()
    program = "import setuptools.build_meta as build; build.prepare_metadata_for_build_wheel('.')"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    (metadata,) = tmp_path.glob("*.dist-info/METADATA")
    found = {Requirement(line) for line in message_from_string(metadata.read_text("utf-8")).get_all("Requires-Dist")}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = {Requirement(line) for line in (line.split("#")[0].strip() for line in lines) if line}
    assert {"torch", "ruff"} <= {requirement.name for requirement in listed}
    assert found == listed


def test_the_workflow_begins_with_the_oldest_python_on_three_systems():
    text, project = WORKFLOW.read_text(encoding="utf-8"), (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    oldest, newest = re.search(r'python: \["([\d.]+)", "([\d.]+)"\]', text).groups()
    assert f'requires-python = ">={oldest}"' in project
    assert [int(number) for number in newest.split(".")] > [int(number) for number in oldest.split(".")]
    assert "os: [ubuntu-latest, windows-latest, macos-latest]" in text
    commands = re.findall(r"^ +(?:- )?run: (.*)$", text, re.M)
    assert [command for command in commands if "-r requirements.txt" in command]
    assert commands[-1] == "python -m pytest"


def test_the_citation_has_the_papers_of_the_lessons():
    text = CITATION.read_text(encoding="utf-8")
    title = re.search("^title: (.*)$", text, re.M)[1]
    assert f"# {title}" in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    author = re.search("^authors:\n  - name: (.*)$", text, re.M)[1]
    assert re.search(rf"^Copyright \(c\) \d+ {author}$", (ROOT / "LICENSE").read_text(encoding="utf-8"), re.M)
    papers = re.findall(r"^    title: (.*)\n    year: (.*)\n    url: (.*)$", text, re.M)
    lessons = " ".join(" ".join(importlib.import_module(script).__doc__ for script in SCRIPTS).split())
    for name, year, link in papers:
        assert f" {year}, *{name.strip(chr(34))}*, {link}" in lessons
    assert {link for _, _, link in papers} == set(re.findall(r"https://arxiv\.org/abs/[\d.]+\d", lessons))


@pytest.mark.parametrize("path", [WORKFLOW, CITATION], ids=lambda path: path.name)
def test_both_files_are_yaml(path):
    yaml = pytest.importorskip("yaml", reason="no PyYAML here: nothing in requirements.txt brings it")
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)
