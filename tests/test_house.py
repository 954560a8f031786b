"""The rules of the house: what lies where, who imports whom, how large a room may be; ruff."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
from conftest import ROOT, SCRIPTS

LESSONS = {f"{script}.py" for script in SCRIPTS} | {"evaluate.py"}
ROOMS = [*ROOT.glob("training/*.py"), *ROOT.glob("evaluation/*.py")]
FILES = [*(ROOT / name for name in sorted(LESSONS)), ROOT / "common.py", *ROOMS]
FOR_LOOKING = [*ROOT.glob("ideas/*.py"), *ROOT.glob("benchmarks/*.py")]

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.relative_to(ROOT).parts))


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
    folders = {"training", "evaluation", "ideas", "benchmarks", "data", "out", "tests", "docs", ".ci", ".github"}
    about = {"README.md", "README.zh-CN.md", "requirements.txt", "pyproject.toml", "LICENSE", "CITATION.cff"}
    assert top <= {*LESSONS, "common.py", *folders, *about, ".gitignore"}
    for name in git_files():
        if name.endswith((".py", ".md", ".toml", ".txt", ".yml", ".cff", "run")):
            assert str(ROOT) not in (ROOT / name).read_text(encoding="utf-8"), name


def test_a_script_has_a_name_that_python_can_import():
    for path in ROOT.glob("*.py"):
        assert path.stem.isidentifier(), f"{path.name}: evaluate.py and the tests import it; take letters, digits and _"


# Loaded only by the runs that need it
LATE = ("training.folders", "training.downloads", "training.board", "training.earlier")
FLOORS = {"common": 2, "evaluation": 1, "training": 0}
THE_ONE_LATE_IMPORT = "training.record", "evaluation.curve"  # with --fid-every alone; else a training loads no metric


def floor(module: str) -> int:
    """3 for a lesson, 2 for common.py, 1 and 0 for the rooms, -1 for what is not of this house."""
    return 3 if f"{module}.py" in LESSONS else FLOORS.get(module.split(".")[0], -1)


def imports(path: Path) -> set[str]:
    """The modules of this house that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            rooms = node.module in FLOORS and node.module != "common"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if rooms else {node.module}
    return {name for name in found if floor(name) >= 0}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@every_file
def test_imports_come_from_lower_floors_only(path):
    """common.py and the lessons use training/; evaluate.py alone uses evaluation/, which uses training/."""
    own = floor(module_of(path))
    for name in imports(path):
        if (module_of(path), name) == THE_ONE_LATE_IMPORT:
            continue
        assert floor(name) < own or (own == floor(name) < 2), f"{path.name} imports {name}"
        assert floor(name) != 1 or own == 1 or path.name == "evaluate.py", f"{path.name} imports {name}"
    late = [node for function in functions(path) for node in ast.walk(function) if isinstance(node, ast.ImportFrom)]
    late = [node for node in late if node.module not in LATE]
    hidden = [node.module for node in late if floor(node.module) >= 0]
    assert hidden == [THE_ONE_LATE_IMPORT[1]] * (module_of(path) == THE_ONE_LATE_IMPORT[0]), "an import in a function"


@pytest.mark.parametrize("folder", ["training", "evaluation"])
def test_a_room_imports_from_those_above_it_in_the_list(folder):
    """So there is no circle of imports."""
    plan = (ROOT / folder / "__init__.py").read_text(encoding="utf-8")
    rooms = [f"{folder}.{name}" for name in re.findall(r"^    (\w+) ", plan.split(chr(34) * 3)[1], re.M)]
    assert sorted(rooms) == sorted(module_of(path) for path in ROOT.glob(f"{folder}/[!_]*.py"))
    for i, room in enumerate(rooms):
        own = {name for name in imports(ROOT / (room.replace(".", "/") + ".py")) if name.startswith(f"{folder}.")}
        assert own <= set(rooms[:i]), room


def test_nothing_below_the_lessons_knows_a_script():
    for path in [ROOT / "common.py", *ROOMS]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in SCRIPTS:
                raise AssertionError(f"{path.name}, line {node.lineno}: {node.value}")


def functions(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


LOADED = """
import pathlib, sys
import dcgan
root = pathlib.Path.cwd()
paths = [pathlib.Path(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
print("\\n".join(str(path.relative_to(root)) for path in paths if path.is_relative_to(root) and path.is_file()))
"""


def test_a_training_passes_through_few_files():
    """The files of this house that `python dcgan.py` loads; lines of code without blanks, comments and docstrings."""
    done = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    lines = {name: code_lines(ROOT / name) for name in sorted(done.stdout.split())}
    print("\n".join(f"{count:5} {name}" for name, count in lines.items()))
    assert len(lines) <= 15, sorted(lines)
    assert sum(lines.values()) - lines["dcgan.py"] <= 1230
    assert not [name for name in lines if name.startswith("evaluation")]


def code_lines(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in blank]
    code = {number for token in tokens for number in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            code -= set(range(node.lineno, node.end_lineno + 1))
    return len(code)


LINES = {"common.py": 350, "began.py": 300, "began_conv.py": 340, "fgan.py": 330}


@pytest.mark.parametrize("path", [*FILES, *FOR_LOOKING], ids=lambda path: "/".join(path.relative_to(ROOT).parts))
def test_rooms_classes_and_functions_are_small(path):
    text = path.read_text(encoding="utf-8")
    if path.name not in LESSONS or path.name in LINES:  # a variant of a user's own may be as long as it likes
        assert len(text.splitlines()) <= LINES.get(path.name, 250)
    for node in ast.walk(ast.parse(text)):
        length = getattr(node, "end_lineno", 0) - getattr(node, "lineno", 0) + 1
        assert not isinstance(node, ast.FunctionDef) or length <= 45, node.name
        assert not isinstance(node, ast.ClassDef) or length <= 120, node.name


@every_file
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
    for path in ROOMS:
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert doc, path.name
        assert len(doc.splitlines()) <= 5 or path.name == "__init__.py", path.name
