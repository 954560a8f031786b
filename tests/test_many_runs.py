"""Many seeds: a folder for each setting, children in any terminal, what is refused."""

import os

import pytest
from conftest import ROOT

from evaluation.many_runs import split, train_seeds
from training.files import UserError


@pytest.fixture
def started(monkeypatch):
    """The command lines that would be run."""
    lines = []

    class Done:
        returncode = 0

    def run(words, **keywords):
        lines.append((words, keywords))
        return Done()

    monkeypatch.setattr("evaluation.many_runs.subprocess.run", run)
    return lines


def test_each_setting_has_a_folder_of_its_own(started, tmp_path):
    script = str(ROOT / "fgan.py")
    targets = tuple(f"'{script}' {flags}" for flags in ("", "--alpha -2", "--alpha 2", "--lr 1e-3", "--lr 1e+3"))
    folders = train_seeds(targets, 2, "--steps 3", str(tmp_path), 1)
    names = [folder for runs in folders.values() for folder in runs]
    assert len(names) == len(set(names)) == 10
    assert f"{tmp_path}/fgan-1" in names
    assert f"{tmp_path}/fgan-alpha--2-0" in names
    words, keywords = started[2]
    assert words[2:] == [*("--alpha", "-2", "--steps", "3", "--seed", "0", "--out", f"{tmp_path}/fgan-alpha--2-0")]
    assert keywords["env"]["PYTHONIOENCODING"] == "utf-8"


def test_runs_that_are_older_than_their_script_are_named(started, tmp_path, capsys):
    script, out = tmp_path / "hinge.py", tmp_path / "out"
    script.write_text("", encoding="utf-8")
    for seed in (0, 1):
        (out / f"hinge-{seed}").mkdir(parents=True)
        (out / f"hinge-{seed}/checkpoint.pt").touch()
    os.utime(script, (1e9, 1e9))
    os.utime(out / "hinge-0/checkpoint.pt", (1e9 - 1, 1e9 - 1))
    train_seeds((str(script),), 3, "", str(out), 1)
    line = f"older than their scripts, but used as they are: {out}/hinge-0; to train"
    assert capsys.readouterr().out.startswith(line)
    assert [words[-1] for words, _ in started] == ["--resume", "--resume", f"{out}/hinge-2"]


def test_a_failure_ends_it_at_once(monkeypatch, tmp_path):
    """No other training is begun, also by a thread that is quicker than the one that looks at the results."""
    begun = []

    class Done:
        returncode, stderr = 1, "loss_G is nan"

    monkeypatch.setattr("evaluation.many_runs.subprocess.run", lambda words, **_: begun.append(words) or Done())
    with pytest.raises(UserError, match="this training failed"):
        train_seeds((str(ROOT / "fgan.py"),), 20, "", str(tmp_path), 1)
    assert len(begun) == 1


def test_a_path_with_a_space_is_a_script(started, tmp_path):
    (tmp_path / "my gan.py").write_text("", encoding="utf-8")
    assert list(train_seeds((str(tmp_path / "my gan.py"),), 1, "", str(tmp_path), 1))


def test_two_scripts_of_one_name_would_share_a_folder(started, tmp_path):
    (tmp_path / "fgan.py").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="as another target's: rename the script"):
        train_seeds((str(ROOT / "fgan.py"), str(tmp_path / "fgan.py")), 2, "", str(tmp_path), 1)
    assert not started


@pytest.mark.parametrize("target", ["nothing.py", "began", "'open", ""])
def test_what_is_no_script_is_refused_in_one_line(target, started, tmp_path):
    with pytest.raises(UserError) as error:
        train_seeds((target,), 1, "", str(tmp_path), 1)
    assert "\n" not in str(error.value)
    assert not started


def test_words_as_the_shell_of_this_system_splits_them(monkeypatch):
    assert split(r"a\ b.py --x 'c d' # e") == ["a b.py", "--x", "c d", "#", "e"]
    monkeypatch.setattr(os, "name", "nt")
    assert split(r'C:\gan\began.py --data "C:\my images"') == [r"C:\gan\began.py", "--data", r"C:\my images"]
