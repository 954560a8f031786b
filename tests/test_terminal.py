"""What a run prints, in any terminal and under any Python."""

import ast
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT, SCRIPTS, small

from training import terminal
from training.terminal import how_to_resume, quote


def test_progress_in_a_file_is_short(forked, tmp_path, data_dir):
    code, _, err = forked.start("fgan.py", "--steps", 100, *small("fgan"), "--data-dir", data_dir, cwd=tmp_path).wait()
    assert code == 0
    assert len(re.split(r"[\r\n]+", err.strip())) <= 5


EVERYTHING = """
import importlib, sys
import common, evaluate
for script in {scripts}:
    module = importlib.import_module(script)
    for flags in (["--help"], ["--gama", "2"])[: 2 if script == "fgan" else 1]:
        sys.argv = [script + ".py", *flags]
        try:
            common.main(module.Hyperparameters, module.Generator, module.train)
        except SystemExit:
            pass
sys.argv = ["evaluate.py", "--help"]
try:
    evaluate.main()
except SystemExit:
    pass
import fgan
sys.argv = ["fgan.py", "--steps", "2", "--batch-size", "8", "--data-dir", sys.stdin.readline().strip(), "--out", "γ"]
common.main(fgan.Hyperparameters, fgan.Generator, fgan.train)
"""


def test_a_terminal_that_can_not_show_every_character(tmp_path, data_dir):
    """--help, a wrong flag and a training: what can't be shown is replaced, nothing ends in a traceback."""
    program = EVERYTHING.format(scripts=SCRIPTS)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0"}
    words = [sys.executable, "-c", program]
    given = {"input": f"{data_dir}\n".encode(), "capture_output": True, "cwd": tmp_path, "env": environment}
    done = subprocess.run(words, timeout=120, check=False, **given)
    assert done.returncode == 0, done.stderr.decode("ascii")
    said = done.stdout.decode("ascii")
    assert said.count("usage:") == len(SCRIPTS) + 1
    assert "the balance" in said
    assert re.search("60,000|4,000", said)
    assert (tmp_path / "γ" / "samples.png").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_has_the_headings_of_the_file(script, command_line):
    """The lesson's own first, in the order of the file; then what all share."""
    code, out, _ = command_line(script, "--help")
    assert code == 0
    text = (ROOT / f"{script}.py").read_text(encoding="utf-8")
    body = text[text.index("class Hyperparameters") : text.index("def __post_init__")]
    shared = (ROOT / "common.py").read_text(encoding="utf-8")
    shared = shared[shared.index("class Options") : shared.index("def __post_init__")]
    headings = [re.sub(r"\W", "-", heading).lower() for heading in re.findall(r"^    # (.+)$", body + shared, re.M)]
    assert len(headings) >= 6
    assert re.findall(r"─ (\S+) options ─", out) == headings
    fields = [name.replace("_", "-") for name in re.findall(r"^    (\w+): ", body + shared, re.M)]
    assert re.findall(r"^│ --([\w-]+)", out, re.M) == fields


@pytest.mark.parametrize(
    ("script", "word", "ours"),
    [
        ("began", "--epochs", "--steps"),
        ("began", "--n-epochs=3", "--steps"),
        ("dcgan", "--lr", "--lr-G and --lr-D"),
        ("dcgan", "--latent_dim", "--z-dim"),
        ("dcgan", "--batch", "--batch-size"),
        ("wgan_gp", "--gpu", "--device"),
        ("wgan_gp", "--cuda", "--device"),
    ],
)
def test_the_names_of_other_projects_lead_to_ours(script, word, ours, command_line):
    code, _, err = command_line(script, word, "3")
    assert (code, err) == (2, f"{script}.py: {word}: here it is {ours} (--help says what each flag means)\n")


def test_too_old_a_python_gets_one_line(tmp_path):
    """Whatever is read before the check must be in that Python's syntax; the check is in training/__init__.py."""
    for name in (*(f"{script}.py" for script in SCRIPTS), "evaluate.py", "common.py", "training/__init__.py"):
        ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 8))
    program = "import sys, torch, torchvision, tyro\nsys.version_info = (3, 9, 1)\nimport began"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1
    assert "need Python 3.10 or later" in done.stderr
    assert done.stderr.count("\n") == 1


def after_its_reader_has_gone(number: int, program: str, forked, folder) -> tuple[int, str, str]:
    """How a program ends whose stdout (1) or stderr (2) is a pipe that nobody reads."""
    first = f"import os\nreader, writer = os.pipe()\nos.close(reader)\nos.dup2(writer, {number})\n"
    (folder / "program.py").write_text(first + program, encoding="utf-8")
    return forked.start(folder / "program.py", cwd=folder).wait()


def test_help_whose_reader_has_gone(forked, tmp_path):
    """As in: python began.py --help | head -1."""
    program = f"import runpy, sys\nsys.argv = ['began.py', '--help']\nrunpy.run_path({str(ROOT / 'began.py')!r}, None, "
    assert after_its_reader_has_gone(1, program + "'__main__')", forked, tmp_path) == (1, "", "")


@pytest.mark.parametrize("number", [1, 2])
def test_a_training_whose_reader_has_gone_goes_on(number, forked, tmp_path):
    """As after Ctrl-C in: python began.py 2>&1 | tee log.txt."""
    program = (
        "from training import terminal\nbar = terminal.Lines(total=9)\nbar.mininterval = 0\n"
        "for _ in range(9):\n    terminal.say('a grid')\n    bar.update()"
    )
    code, out, err = after_its_reader_has_gone(number, program, forked, tmp_path)
    assert code == 0
    assert out.count("a grid") == (9 if number == 2 else 0)
    assert "Error" not in err


def test_words_for_the_shell_of_this_system(monkeypatch):
    assert quote(["python", "my run/began.py"]) == "python 'my run/began.py'"
    monkeypatch.setattr(os, "name", "nt")
    assert quote(["python", "my run/began.py"]) == 'python "my run/began.py"'


def test_how_to_resume_names_the_script_or_none(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["some where/began.py", "--gamma", "0.5", "--resume"])
    assert how_to_resume("began") == "python 'some where/began.py' --gamma 0.5 --resume"
    monkeypatch.setattr(sys, "argv", ["site-packages/ipykernel_launcher.py", "-f", "kernel.json"])
    assert how_to_resume("began") == "the same hyperparameters and resume=True"


def test_a_line_of_progress_now_and_then(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(terminal, "in_notebook", lambda: False)
    with monkeypatch.context() as clock:
        clock.setattr("tqdm.std.time", lambda: now[0])
        with terminal.progress_bar(1000, 0) as bar:
            for _ in range(100):
                now[0] += 1
                bar.update()
                assert bar.miniters == 1, "tqdm's monitor prints bars with more than that a second time"
    steps = [int(line.split("/")[0]) for line in capsys.readouterr().err.splitlines() if "steps" in line]
    assert steps == [8, 38, 68, 98]
