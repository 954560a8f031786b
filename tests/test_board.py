"""What --tensorboard writes, and that a resumed run goes on in it without doubled points."""

import subprocess
import sys

from conftest import ROOT, TINY, small
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fgan


def read(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


def test_values_grids_and_hyperparameters(command_line, tmp_path):
    code, _, err = command_line("fgan", *TINY, *small("fgan"), "--tensorboard")
    assert code == 0, err
    events = read(tmp_path / "out/fgan")
    assert [point.step for point in events.Scalars("bound")] == [2, 4, 6]
    rows = (tmp_path / "out/fgan/log.csv").read_text(encoding="utf-8").splitlines()
    logged = [float(row.split(",")[1]) for row in rows[1:]]
    assert [round(point.value, 4) for point in events.Scalars("bound")] == [round(value, 4) for value in logged]
    assert [picture.step for picture in events.Images("samples")] == [0, 3, 6]
    assert "end/bound" in events.Tags()["scalars"]
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_what_came_after_the_checkpoint_is_not_doubled(command_line, tmp_path):
    """A run that is killed after its checkpoint has written points that the resumed one writes again."""
    flags = ("--batch-size", 8, "--log-every", 1, "--sample-every", 2, "--tensorboard")
    assert command_line("fgan", *flags, "--steps", 4)[0] == 0
    checkpoint = (tmp_path / "out/fgan/checkpoint.pt").read_bytes()
    assert command_line("fgan", *flags, "--steps", 7, "--resume")[0] == 0
    (tmp_path / "out/fgan/checkpoint.pt").write_bytes(checkpoint)  # as if the rest had never been saved
    assert command_line("fgan", *flags, "--steps", 8, "--resume")[0] == 0
    events = read(tmp_path / "out/fgan")
    assert [point.step for point in events.Scalars("bound")] == list(range(1, 9))
    assert [picture.step for picture in events.Images("samples")] == [0, 2, 4, 6, 8]


def test_tensorboard_is_imported_only_when_asked_for():
    program = "import sys, common, fgan; print('tensorboard' in sys.modules, 'matplotlib.figure' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_run_that_stops_has_written_all_its_points(command_line, tmp_path, monkeypatch):
    """TensorBoard's writer keeps them in memory for two minutes, unless it is closed."""
    real, calls = fgan.generator_loss, []

    def sabotaged(*arguments):
        calls.append(1)
        return real(*arguments) * (float("nan") if len(calls) == 8 else 1.0)

    monkeypatch.setattr(fgan, "generator_loss", sabotaged)
    assert command_line("fgan", *TINY[2:], *small("fgan"), "--steps", 20, "--tensorboard")[0] == 1
    assert [point.step for point in read(tmp_path / "out/fgan").Scalars("bound")] == [2, 4, 6]
