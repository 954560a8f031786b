"""Runs side by side: what stands above each, what a reader is told, what is refused."""

import json

import numpy as np
import pytest
from conftest import TINY
from PIL import Image

import common
import evaluate
from evaluation import report
from evaluation.report import Column


def column(name: str, script: str = "began", step: int = 8000, **hyperparameters) -> Column:
    settings = {"data": "mnist", "steps": 8000, "gamma": 0.95, "seed": 0, "out": f"out/{name}", **hyperparameters}
    numbers = {"fid": 50.0, "classes": 10, "class_share": [0.1] * 10, "samples": 10_000, "data": settings["data"]}
    return Column(name, numbers, Image.new("RGB", (40, 40)), script, settings, step)


def test_what_differs_stands_above_each_column():
    images = Column("samples.npz", {}, Image.new("RGB", (9, 9)))
    columns = [column("a"), column("b", gamma=0.5), column("c", "fgan", 6000, seed=1, steps=6000), images]
    assert report.headings(columns) == [
        ["a"],
        ["b", "gamma 0.5"],
        ["c", "fgan.py", "seed 1", "step 6000"],
        ["samples.npz"],
    ]


def test_what_a_reader_should_know():
    assert report.warnings([column("a"), column("b", gamma=0.5)]) == []
    said = report.warnings([column("a"), column("b", data="fashion-mnist"), column("c", step=5)])
    assert "fashion-mnist, mnist" in said[0]
    assert said[1] == "c is not finished: step 5 of 8000"
    fewer = column("d")
    fewer.numbers["samples"] = 1000
    assert report.warnings([column("a"), fewer])[0].startswith("made of 1000, 10000 images: ")


def test_logs_of_other_columns_leave_a_gap_and_no_log_is_refused(tmp_path):
    columns = [column("a"), column("b"), column("c")]
    for col, text in zip(columns, ("step,M,k\r\n50,1.0,0.5\r\n100,0.5,0.6\r\n", "step,M\r\n50,1.0\r\n", "")):
        col.log = tmp_path / f"{col.name}.csv"
        col.log.write_text(text, encoding="utf-8")
    report.draw_comparison(columns, tmp_path / "compare.png")
    assert min(Image.open(tmp_path / "compare.png").size) > 300
    assert report.read_log(tmp_path / "nothing.csv") == {}
    for text in ("step,M\r\n50,one\r\n", "step,M\r\n50\r\n"):
        columns[0].log.write_text(text, encoding="utf-8")
        with pytest.raises(common.UserError, match=r"a.csv is no log") as error:
            report.read_log(columns[0].log)
        assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("error:constrained_layout")  # that the legend leaves no room for the curves
def test_curves_of_many_runs_find_room(tmp_path):
    columns = [column(f"out/seeds/began-{seed}", seed=seed) for seed in range(14)]
    for seed, col in enumerate(columns):
        col.log = tmp_path / f"{seed}.csv"
        col.log.write_text(f"step,M\r\n50,{1 + seed}\r\n100,{2 + seed}\r\n", encoding="utf-8")
    report.draw_comparison(columns, tmp_path / "compare.png")
    middle = np.asarray(Image.open(tmp_path / "compare.png").convert("RGB"))[400:600, :300].astype(int)
    assert (middle[..., 2] - middle[..., 0] > 100).sum() > 100  # the first run's curve, in blue


def test_two_runs_on_the_command_line(command_line, tmp_path, data_dir, known, monkeypatch, capfd):
    assert command_line("fgan", *TINY)[0] == 0
    assert command_line("fgan", *TINY, "--divergence", "kl", "--out", "out/kl")[0] == 0
    words = ["evaluate.py", "out/fgan", "out/kl", "--samples", "150", "--data-dir", data_dir]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setattr(evaluate, "reference_for", lambda *_: known)
    evaluate.main()
    out = capfd.readouterr().out
    assert "divergence kl" in out
    assert "side by side: out" in out
    assert np.asarray(Image.open(tmp_path / "out/compare.png")).std() > 10
    assert json.loads((tmp_path / "out/kl/metrics.json").read_text(encoding="utf-8"))["samples"] == 150
    monkeypatch.setattr("sys.argv", ["evaluate.py", "out/fgan", "nowhere", *words[3:]])
    with pytest.raises(SystemExit) as stop:
        evaluate.main()
    assert "nowhere: there is no such run folder" in str(stop.value)
    assert "\n" not in str(stop.value)


def test_names_that_matplotlib_would_stumble_over(tmp_path):
    columns = [column("a$x^$"), column("caf\udce9")]
    report.draw_comparison(columns, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").exists()
