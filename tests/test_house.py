"""The rules of the house: what lies where, who imports whom, how large a room may be; ruff."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SCRIPTS

LESSONS = {f"{script}.py" for script in SCRIPTS} | {"evaluate.py"}
FILES = [*ROOT.glob("*.py"), *ROOT.glob("workshop/*.py")]
BENCHMARKS = [*ROOT.glob("benchmarks/*.py")]


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_ruff(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command.split(), str(ROOT)], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_newer_than_python_3_10():
    words = [sys.executable, "-c", "import vermin; vermin.main()"]
    words += ["-t=3.10-", "--violations", "--no-tips", "--eval-annotations"]
    files = [str(ROOT / name) for name in git_files() if name.endswith(".py")]
    done = subprocess.run([*words, *files], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr


def git_files() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, encoding="utf-8").stdout.split()


def test_the_top_level_and_no_path_of_any_machine():
    top = {name.split("/")[0] for name in git_files()}
    expected = {*LESSONS, "common.py", "workshop", "data", "out", "tests", "benchmarks", "docs", ".ci"}
    expected |= {"requirements.txt", "README.md", "README.zh-CN.md", "pyproject.toml", "LICENSE", ".gitignore"}
    assert top <= expected
    for name in git_files():
        if name.endswith((".py", ".md", ".toml", ".txt", "run")):
            assert str(ROOT) not in (ROOT / name).read_text(encoding="utf-8"), name


def floor(module: str) -> int:
    """2 for a lesson, 1 for common.py, 0 for a room of the workshop, -1 for what is not of this house."""
    if f"{module}.py" in LESSONS:
        return 2
    return {"common": 1, "workshop": 0}.get(module.split(".")[0], -1)


def imports(path: Path) -> set[str]:
    """The modules of this house that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"workshop.{alias.name}" for alias in node.names} if node.module == "workshop" else {node.module}
    return {name for name in found if floor(name) >= 0}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_come_from_lower_floors_only(path):
    own = floor(module_of(path))
    for name in imports(path):
        assert floor(name) < own or (own == 0 and floor(name) == 0), f"{path.name} imports {name}"
    late = [node for function in functions(path) for node in ast.walk(function) if isinstance(node, ast.ImportFrom)]
    assert not [node.module for node in late if floor(node.module) >= 0], "an import hidden in a function"


def test_a_room_imports_from_those_above_it_in_the_list():
    """So there is no circle of imports."""
    plan = (ROOT / "workshop/__init__.py").read_text(encoding="utf-8")
    rooms = [f"workshop.{name}" for name in re.findall(r"^    (\w+) ", plan, re.M)]
    assert sorted(rooms) == sorted(module_of(path) for path in ROOT.glob("workshop/[!_]*.py"))
    for i, room in enumerate(rooms):
        assert imports(ROOT / (room.replace(".", "/") + ".py")) <= set(rooms[:i]), room


def test_nothing_below_the_lessons_knows_a_script():
    for path in FILES:
        if path.name in LESSONS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in SCRIPTS:
                raise AssertionError(f"{path.name}, line {node.lineno}: {node.value}")


def functions(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


LINES = {"common.py": 350, "began.py": 300, "began_conv.py": 330, "fgan.py": 330}


@pytest.mark.parametrize("path", [*FILES, *BENCHMARKS], ids=lambda path: path.name)
def test_rooms_classes_and_functions_are_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES.get(path.name, 250)
    for node in ast.walk(ast.parse(text)):
        length = getattr(node, "end_lineno", 0) - getattr(node, "lineno", 0) + 1
        assert not isinstance(node, ast.FunctionDef) or length <= 45, node.name
        assert not isinstance(node, ast.ClassDef) or length <= 120, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_attribute_is_made_in_a_constructor(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            made, fields = {}, {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
            for method in (item for item in node.body if isinstance(item, ast.FunctionDef)):
                targets = {n.attr for n in ast.walk(method) if isinstance(n, ast.Attribute) and stored_in_self(n)}
                made[method.name] = targets
            first = made.get("__init__", set()) | made.get("__post_init__", set()) | fields
            for name, targets in made.items():
                assert targets <= first, f"{node.name}.{name} makes {targets - first}"


def stored_in_self(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"


def test_every_room_says_what_lives_there():
    for path in ROOT.glob("workshop/[!_]*.py"):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert doc, path.name
        assert len(doc.splitlines()) <= 5, path.name
