"""The log by itself: rows are means over an interval, files follow, a value that is not finite is named."""

import csv
from pathlib import Path

import pytest
import torch

from training import files
from training.files import Diverged, UserError
from training.log import Log


def rows_of(folder) -> list[list[str]]:
    return list(csv.reader((folder / "log.csv").open(encoding="utf-8", newline="")))


def test_a_row_is_the_mean_over_its_interval(tmp_path):
    log = Log(tmp_path, every=2)
    for step in (1, 2, 3, 4, 5):
        log.note({"loss": torch.tensor(float(step)), "target": 0.5})
        if step in (2, 4, 5):  # 5 is the last one, in the middle of an interval
            assert log.write_row(step) == {"loss": {2: 1.5, 4: 3.5, 5: 5.0}[step], "target": 0.5}
    assert rows_of(tmp_path) == [
        ["step", "loss", "target"],
        ["2", "1.5", "0.5"],
        ["4", "3.5", "0.5"],
        ["5", "5.0", "0.5"],
    ]


def test_a_value_that_changes_in_place_afterwards_is_logged_as_it_was(tmp_path):
    log, k = Log(tmp_path, every=2), torch.zeros(())
    for _ in range(2):
        k += 1
        log.note({"k": k})
    assert log.write_row(2) == {"k": 1.5}


def test_a_restored_log_goes_on_as_if_never_stopped(tmp_path):
    whole, first = Log(tmp_path, every=3), Log(tmp_path, every=3)
    for log in (whole, first):
        for step in range(1, 6):
            log.note({"loss": torch.tensor(2.0**step)})
            if step % 3 == 0:
                log.write_row(step)
        log.fetch(5)
    second = Log(tmp_path, every=3)
    second.restore(first.state())
    for log in (whole, second):
        log.note({"loss": torch.tensor(64.0)})
    assert second.write_row(6) == whole.write_row(6) == {"loss": (16 + 32 + 64) / 3}
    assert second.rows == whole.rows


def test_the_last_means_are_those_of_the_last_step_also_after_a_restart(tmp_path):
    for steps in (2, 5):  # fewer than a row, and a row and a half
        log, again = Log(tmp_path, every=3), Log(tmp_path, every=3)
        for step in range(1, steps + 1):
            log.note({"loss": float(step)})
            if step == 3 or step == steps:
                last = log.write_row(step)
        again.restore(log.state())
        assert again.latest() == log.latest() == last


def test_numbers_and_tensors_by_turns(tmp_path):
    log = Log(tmp_path, every=4)
    for value in (torch.tensor(1.0), 0.0, 1, torch.tensor(2.0)):
        log.note({"penalty": value})
    assert log.write_row(4) == {"penalty": 1.0}


def test_nothing_logged_draws_nothing(tmp_path):
    log = Log(tmp_path, every=1)
    assert [log.write_row(step) for step in (1, 2)] == [{}, {}]
    log.draw()
    assert log.latest() == {}
    assert not (tmp_path / "curves.png").exists()


def test_other_names_after_a_restart_are_refused(tmp_path):
    log, again = Log(tmp_path, every=50), Log(tmp_path, every=50)
    log.note({"loss": 1.0})
    log.fetch(1)
    again.restore(log.state())
    with pytest.raises(UserError, match="loss_G after loss"):
        again.note({"loss_G": 1.0})


def test_rows_after_the_checkpoint_go_when_the_file_is_started_anew(tmp_path):
    log = Log(tmp_path, every=1)
    log.note({"loss": 1.0})
    log.write_row(1)
    kept = {**log.state(), "rows": list(log.rows)}
    log.note({"loss": 2.0})
    log.write_row(2)
    again = Log(tmp_path, every=1)
    again.restore(kept)
    again.start_file()
    assert rows_of(tmp_path) == [["step", "loss"], ["1", "1.0"]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_named_with_its_step(bad, tmp_path):
    log = Log(tmp_path, every=10)
    for step in range(1, 8):
        log.note({"loss_D": torch.tensor(0.1), "loss_G": torch.tensor(bad if step >= 5 else 0.2)})
    with pytest.raises(Diverged, match=f"loss_G is {bad} at step 5"):
        log.fetch(7)


def test_a_log_continued_with_another_interval_keeps_its_rows(tmp_path):
    first, second = Log(tmp_path, every=5), Log(tmp_path, every=4)
    for step in range(1, 13):
        first.note({"loss": float(step)})
        if step in (5, 10, 12):  # 12 is the last step: its row is not whole, and goes when the run goes on
            first.write_row(step)
    second.restore(first.state())
    assert [row[0] for row in second.rows] == [5, 10]


def test_a_changed_script_does_not_go_on_in_the_old_columns(tmp_path):
    first, second = Log(tmp_path, every=1), Log(tmp_path, every=1)
    first.note({"loss": 1.0})
    first.write_row(1)
    second.restore(first.state())
    with pytest.raises(UserError, match=r"run\.log: loss, norm after loss: .* without --resume"):
        second.note({"loss": 1.0, "norm": 2.0})


def test_a_value_that_is_no_single_number_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"run\.log: loss has shape \(2,\): give one number"):
        Log(tmp_path, every=1).note({"loss": torch.zeros(2)})


def test_rows_wait_while_another_program_holds_the_file(tmp_path, monkeypatch, capsys):
    """As Excel does on Windows: nothing ends, nothing is lost, and it is said once."""
    log = Log(tmp_path, every=1)
    for step in range(1, 6):
        log.note({"loss": float(step)})
        with monkeypatch.context() as held:
            if step in (2, 3, 4):
                held.setattr(Path, "open", refuse)
                held.setattr(files.os, "replace", refuse)
                held.setattr(files.time, "sleep", lambda seconds: None)
            log.write_row(step)
    assert [row[0] for row in rows_of(tmp_path)] == ["step", "1", "2", "3", "4", "5"]
    assert capsys.readouterr().out.count("close it where it is open") == 1


def refuse(*arguments, **keywords):
    raise PermissionError(13, "Permission denied")


def test_a_loss_too_small_to_learn_from_is_said_once(tmp_path, capsys):
    log = Log(tmp_path, 1)
    for step, loss in enumerate([1e-3, 1e-13, 0.0], start=1):
        log.note({"k": 0.0, "loss_D": loss})
        log.write_row(step)
        said = capsys.readouterr().out
        assert ("loss_D was smaller than 1e-12 at every step" in said) == (step == 2)
        assert "k was" not in said
