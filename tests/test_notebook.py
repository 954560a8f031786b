"""A notebook's way in: the page runs as it stands, bar and samples appear below the cell, Ctrl-C is no error."""

import re
import signal

import nbclient
import nbformat
import pytest
import torch
from conftest import ROOT

import began
import common
import evaluate
import fgan
from training import terminal

PAGE = (ROOT / "docs/notebook.md").read_text(encoding="utf-8")


def test_the_page_runs_as_it_stands(tmp_path, data_dir):
    """In short trainings, and with other folders."""
    cells = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    if not hasattr(evaluate, "measure"):
        cells = [cell for cell in cells if "evaluate.measure" not in cell]
    assert len(cells) >= 7
    short = f"steps=20, batch_size=8, data_dir={data_dir!r}"
    cells = [cell.replace("steps=3000", short).replace("out/", f"{tmp_path}/").replace("2000", "200") for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    first = notebook.cells[0].outputs
    pictures = [output for output in first if output.output_type == "display_data" and "image/png" in output.data]
    assert len(pictures) == 2  # the samples and the reconstructions
    assert "0/20 [" in str(first)  # the bar: a widget where ipywidgets is installed, else text
    assert "common.load(" in str(first)  # what comes next, as Python
    assert "gamma 0.5" in str(notebook.cells[5].outputs)
    for i in (3, 4):  # an interpolation, a plane
        assert "image/png" in notebook.cells[i].outputs[-1].data
    names = {"notebook", "notebook-0.5", "notebook-edited"}
    assert all((tmp_path / name / "samples.png").exists() for name in names)


def settings(tmp_path, data_dir, **changes) -> dict:
    return {"steps": 6, "batch_size": 8, "out": str(tmp_path / "run"), "data_dir": data_dir, "device": "cpu", **changes}


def test_the_run_that_train_returns_is_the_one_in_its_folder(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr("training.log.save_curves", lambda *_: None)
    hp = fgan.Hyperparameters(**settings(tmp_path, data_dir, log_every=4, width=4, hidden=16))
    before = dict(vars(hp))
    run = fgan.train(hp)
    assert vars(hp) == before  # an input
    assert (run.hp.channels, run.hp.image_size) == (1, 28)
    loaded = common.load(tmp_path / "run")
    for each in (run, loaded):
        assert (each.script, each.step, each.folder, each.G.training) == ("fgan", 6, tmp_path / "run", False)
        assert each.hp == run.hp
        assert each.log["step"] == [4, 6]
        assert each.sample(3).shape == (3, 1, 28, 28)
    assert loaded.log == run.log
    assert torch.equal(run.sample(5, seed=1), loaded.sample(5, seed=1))
    assert not torch.equal(run.sample(5, seed=1), run.sample(5, seed=2))
    z = common.noise_from_seed(1, 5, run.hp.z_dim)
    assert torch.equal(run.sample(z=z), run.sample(5, seed=1))
    lines = (tmp_path / "run/log.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",") == list(run.log)
    assert [float(value) for value in lines[-1].split(",")] == [column[-1] for column in run.log.values()]


def test_a_value_that_was_set_later_is_checked_as_the_command_line_would(tmp_path, data_dir):
    hp = began.Hyperparameters(**settings(tmp_path, data_dir))
    hp.gamma = 2.0
    with pytest.raises(ValueError, match=r"^--gamma 2\.0: must be in \(0, 1\]$"):
        began.train(hp)
    assert not (tmp_path / "run").exists()


def test_what_can_not_be_loaded_is_one_line(tmp_path, good):
    with pytest.raises(common.UserError, match="there is no"):
        common.load(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(good)
    assert common.load(str(tmp_path)).step == 4
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for script in ("nobody", "../fgan", "common"):
        torch.save({**content, "script": script}, tmp_path / "checkpoint.pt")
        with pytest.raises(common.UserError, match="no such script"):
            common.load(tmp_path)


def test_an_interrupt_ends_in_a_sentence_and_the_run_so_far(tmp_path, data_dir, monkeypatch, capsys):
    real, calls = fgan.generator_loss, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    shown = []
    monkeypatch.setattr(fgan, "generator_loss", interrupted)
    monkeypatch.setattr(terminal, "in_notebook", lambda: True)
    monkeypatch.setattr("training.record.show", shown.append)
    hp = fgan.Hyperparameters(**settings(tmp_path, data_dir, steps=9, log_every=2, width=4, hidden=16))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    run = fgan.train(hp)
    assert "stopped after step 3" in capsys.readouterr().out
    assert (run.step, len(shown)) == (3, 1)
    assert run.log["step"] == [2, 3]
    assert common.load(tmp_path / "run").log == run.log
    hp.resume = True
    assert fgan.train(hp).step == 9
    signal.signal(signal.SIGINT, before)
