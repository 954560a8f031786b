"""When a run writes what, and what it keeps when it diverges."""

import itertools
from pathlib import Path

from conftest import TINY, small, tensors

import common
from training import earlier, ema, log
from training.record import Record
from training.terminal import quote


def test_curves_are_drawn_once_a_minute_and_at_the_end(command_line, monkeypatch):
    """At a checkpoint they are drawn if the last drawing is a minute old, as one takes a third of a second."""
    drawn, hours = [], itertools.count(step=3600)
    monkeypatch.setattr(log, "save_curves", lambda steps, columns, path, points: drawn.append(steps[-1]))
    arguments = ("fgan", *TINY[2:], *small("fgan"), "--steps", 12)
    assert command_line(*arguments)[0] == 0
    assert drawn == [12]
    monkeypatch.setattr(common.time, "perf_counter", lambda: next(hours))
    assert command_line(*arguments)[0] == 0
    assert drawn == [12, 4, 8, 12]


def test_nan_stops_with_step_and_loss_and_keeps_the_last_good_checkpoint(command_line, tmp_path, monkeypatch):
    import dcgan

    real, calls = dcgan.generator_loss, []

    def sabotaged(d_fake):
        calls.append(1)
        return real(d_fake) * (float("nan") if len(calls) == 6 else 1.0)

    monkeypatch.setattr(dcgan, "generator_loss", sabotaged)
    code, _, err = command_line("dcgan", *TINY[2:], *small("dcgan"), "--steps", 20)
    line = err.strip().splitlines()[-1]
    assert code == 1
    assert "loss_G is nan at step 6" in line
    assert (tmp_path / "out/dcgan/curves.png").exists()  # they may show why
    checkpoint = earlier.read_checkpoint(tmp_path / "out/dcgan", "dcgan")
    assert checkpoint["step"] == 4
    assert all(t.isfinite().all() for t in tensors(checkpoint["networks"]).values())


def test_weights_that_are_not_finite_are_never_saved(command_line, tmp_path, monkeypatch):
    real, calls = ema.EMA.update, []

    def sabotaged(self, step):
        calls.append(1)
        real(self, step)
        if len(calls) == 8:
            self.mean[0].fill_(float("inf"))

    monkeypatch.setattr(ema.EMA, "update", sabotaged)
    code, _, err = command_line("dcgan", *TINY[2:], *small("dcgan"), "--steps", 8, "--ema", 0)
    assert code == 1
    assert "weights of G_ema are not finite after step 8" in err
    assert earlier.read_checkpoint(tmp_path / "out/dcgan", "dcgan")["step"] == 4


def test_the_command_that_comes_next_knows_the_data_folder(command_line, tmp_path, data_dir, monkeypatch):
    _, out, _ = command_line("fgan", *TINY, *small("fgan"), "--data-dir", "elsewhere", data=False)
    assert quote(["evaluate.py", str(Path("out/fgan")), "--data-dir", "elsewhere"]) in out
    (tmp_path / "data").mkdir()
    _, out, _ = command_line("fgan", *TINY, *small("fgan"), data=False)
    assert "--data-dir" not in out.split("next:", 1)[1]


def test_the_last_pictures_of_a_run_that_went_on_are_drawn_anew(command_line, tmp_path, monkeypatch):
    """Stopped while they are drawn: what is there from its earlier end does not count as drawn."""
    assert command_line("dcgan", *TINY, *small("dcgan"))[0] == 0
    flags = ("dcgan", *TINY[2:], *small("dcgan"), "--steps", 8, "--resume")
    with monkeypatch.context() as stopped:
        stopped.setattr(Record, "finish", lambda record, step, seconds: None)
        assert command_line(*flags)[0] == 0
    assert not (tmp_path / "out/dcgan/training.gif").exists()
    (tmp_path / "out/dcgan/samples.png").unlink()
    assert command_line(*flags)[0] == 0
    assert (tmp_path / "out/dcgan/training.gif").exists()
    assert (tmp_path / "out/dcgan/samples.png").exists()
