"""Runs side by side: what stands above each, what a reader is told, what is refused."""

import json

import numpy as np
import pytest
import torch
from conftest import TINY
from PIL import Image

import common
import evaluate
from evaluation import metrics, report, results, tables
from evaluation.results import Column, Result


def result(name: str, script: str = "began", step: int = 8000, fid: float = 50.0, **hyperparameters) -> Result:
    settings = {"data": "mnist", "steps": 8000, "gamma": 0.95, "seed": 0, "out": f"out/{name}", **hyperparameters}
    numbers = {"fid": fid, "classes": 10, "class_share": [0.1] * 10, "samples": 10_000, "features": 128}
    numbers |= {"data": settings["data"], "memorisation": 0.1, "k": 5}
    numbers["floor"] = dict(numbers, fid=2.0)
    return Result(name, numbers, Image.new("RGB", (40, 40)), script, settings, step, source="digits")


def column(name: str, *given, **hyperparameters) -> Column:
    return Column(name, [result(name, *given, **hyperparameters)])


def test_what_differs_stands_above_each_column_the_first_too():
    images = Column("samples.npz", [Result("samples.npz", {}, Image.new("RGB", (9, 9)))])
    columns = [column("a"), column("b", gamma=0.5), column("c", "fgan", 6000, seed=1, steps=6000), images]
    assert results.headings(columns) == [
        ["a", "began.py", "gamma 0.95", "seed 0", "step 8000"],
        ["b", "began.py", "gamma 0.5", "seed 0", "step 8000"],
        ["c", "fgan.py", "gamma 0.95", "seed 1", "step 6000"],
        ["samples.npz"],
    ]
    assert results.headings(columns[:2]) == [["a", "gamma 0.95"], ["b", "gamma 0.5"]]


def test_runs_that_differ_in_the_seed_alone_are_one_column():
    runs = [result(f"out/a-{seed}", seed=seed, fid=50.0 + seed) for seed in range(3)]
    runs.insert(1, result("out/b-0", gamma=0.5))
    columns = results.by_seed(runs)
    assert [column.name for column in columns] == ["out/a", "out/b-0"]
    assert [r.name for r in columns[0].results] == ["out/a-0", "out/a-1", "out/a-2"]
    assert columns[0].cell("fid") == "51.0 ± 1.0"
    assert columns[0].cell("kid") == "–"
    assert results.headings(columns) == [["out/a", "gamma 0.95", "n = 3"], ["out/b-0", "gamma 0.5"]]


def test_what_is_never_in_one_mean():
    """Other images learned from, another step, device or script; the same seed twice; images from elsewhere."""
    first = result("a")
    others = [result("b", seed=1, step=5), result("c", seed=1, precision="bfloat16"), result("d", "fgan", seed=1)]
    others += [result("e", seed=1, data="faces"), result("f")]
    others.append(result("g", seed=1))
    others[-1].source = "the offline digits"
    images = [Result(name, first.numbers, first.picture) for name in ("h.npz", "i.npz")]
    assert len(results.by_seed([first, *others, *images])) == 9
    assert any(
        "different images (digits; the offline digits)" in line
        for line in results.remarks(results.by_seed([first, others[-1]]))
    )
    with pytest.raises(common.UserError, match="a learned from digits; g from the offline digits: no mean of these"):
        results.require_one_source(Column("x", [first, others[-1]]))


def test_a_target_twice_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results.require_different(("out/a", "out/b"))
    with pytest.raises(common.UserError, match=r"^out/a/ is given twice \(also as out/a\)$"):
        results.require_different(("out/a", "out/b", "out/a/"))


def test_differences_seed_by_seed():
    """Of the seeds that both have, whatever their order."""
    ours = Column("ours", [result("a", fid=fid, seed=seed) for seed, fid in ((0, 5.0), (1, 9.0), (7, 1.0))])
    theirs = Column("theirs", [result("b", fid=fid, seed=seed) for seed, fid in ((1, 5.0), (0, 3.0))])
    assert results.paired(ours, theirs, "fid") == [2.0, 4.0]
    assert results.paired(ours, theirs, "kid") == []
    assert results.paired(Column("one", ours.results[:1]), theirs, "fid") == []  # of one pair no deviation is known
    (line,) = tables.differences([theirs, ours])
    assert line == "ours − theirs, seed by seed: fid 3.00 ± 1.41, classes 0.00 ± 0.00"


def test_what_a_reader_should_know():
    assert results.remarks([column("a"), column("b", gamma=0.5)]) == []
    said = results.remarks([column("a"), column("b", data="fashion-mnist"), column("c", step=5)])
    assert "fashion-mnist, mnist" in said[0]
    assert said[1] == "c is not finished: step 5 of 8000"
    fewer = column("d")
    fewer.first.numbers["samples"] = 2000
    assert results.remarks([column("a"), fewer])[0].startswith("made of 2000, 10000 images: ")


def test_where_fid_is_noise_kid_stands_first():
    columns = [column("a")]
    columns[0].first.numbers["kid"] = 0.1
    for samples, first in ((1280, "fid"), (1279, "kid")):
        columns[0].first.numbers["samples"] = samples
        assert results.rows(columns)[0] == tables.for_a_paper(columns)[0] == first
        assert any("read kid first" in line for line in results.remarks(columns)) == (first == "kid")


def test_the_window_says_when_its_bandwidth_is_the_end_of_the_range():
    one_image = torch.full((200, 784), 0.5)
    found = metrics.log_likelihood(one_image, torch.rand(400, 784, generator=torch.Generator().manual_seed(0)).round())
    columns = [column("a")]
    for bandwidth, said in ((0.1, 0), (found["kde_bandwidth"], found["kde_bandwidth"] in (0.02, 1.0))):
        columns[0].first.numbers["kde_bandwidth"] = bandwidth
        assert sum("is the end of the range" in line for line in results.remarks(columns)) == said
    columns[0].first.numbers["kde_bandwidth"] = metrics.BANDWIDTHS[-1]
    assert len(results.remarks(columns)) == 1


def test_logs_of_other_columns_leave_a_gap_and_no_log_is_refused(tmp_path):
    columns = [column("a"), column("b"), column("c")]
    for col, text in zip(columns, ("step,M,k\r\n50,1.0,0.5\r\n100,0.5,0.6\r\n", "step,M\r\n50,1.0\r\n", "")):
        col.first.log = tmp_path / f"{col.name}.csv"
        col.first.log.write_text(text, encoding="utf-8")
    report.draw_comparison(columns, tmp_path / "compare.png")
    assert min(Image.open(tmp_path / "compare.png").size) > 300
    assert report.read_log(tmp_path / "nothing.csv") == {}
    for text in ("step,M\r\n50,one\r\n", "step,M\r\n50\r\n"):
        log = columns[0].first.log
        log.write_text(text, encoding="utf-8")
        with pytest.raises(common.UserError, match=r"a.csv is no log") as error:
            report.read_log(log)
        assert "\n" not in str(error.value)


def test_only_panels_that_are_shared_unless_asked():
    log = ([1, 2], [3.0, 4.0])
    logs = [[{"M": log, "k": log}, {"M": log, "k": log}], [{"M": log, "gp": log}], [{}]]
    assert report.panels_of(logs, False) == ["M"]
    assert report.panels_of(logs, True) == ["M", "k", "gp"]


def test_the_fid_of_a_training_is_one_of_the_curves(tmp_path):
    (tmp_path / "log.csv").write_text("step,M\r\n50,1.0\r\n100,2.0\r\n", encoding="utf-8")
    (tmp_path / "fid.csv").write_text("step,fid\r\n100,40.0\r\n", encoding="utf-8")
    assert report.read_log(tmp_path / "log.csv") == {"M": ([50, 100], [1, 2]), "fid": ([100], [40])}


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_seeds_in_one_picture_of_any_kind(ending, tmp_path):
    """Some of them logged at other steps than the others."""
    columns = [Column("a", [result(f"a{seed}", seed=seed) for seed in range(3)]), column("b", gamma=0.5)]
    for i, run in enumerate([*columns[0].results, *columns[1].results]):
        run.log = tmp_path / f"{i}.csv"
        run.log.write_text(f"step,M\r\n{50 + i // 2},1.0\r\n100,{i}\r\n", encoding="utf-8")
    path = tmp_path / f"compare.{ending}"
    report.draw_comparison(columns, path)
    assert path.read_bytes().startswith({"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}[ending])
    if ending == "png":
        assert Image.open(path).info["dpi"][0] == pytest.approx(150, abs=1)


@pytest.mark.filterwarnings("error:constrained_layout")  # that the legend leaves no room for the curves
def test_curves_of_many_runs_find_room(tmp_path):
    columns = [column(f"out/seeds/began-{seed}", seed=seed) for seed in range(14)]
    for seed, col in enumerate(columns):
        col.first.log = tmp_path / f"{seed}.csv"
        col.first.log.write_text(f"step,M\r\n50,{1 + seed}\r\n100,{2 + seed}\r\n", encoding="utf-8")
    report.draw_comparison(columns, tmp_path / "compare.png")
    middle = np.asarray(Image.open(tmp_path / "compare.png").convert("RGB"))[750:1150, :560].astype(int)
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
    monkeypatch.setattr("sys.argv", ["evaluate.py"])
    evaluate.main()
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["out/fgan", "fgan.py"], ["out/kl", "fgan.py"]]
    assert lines[1].endswith("  batch_size 8")
    assert lines[2].endswith("  divergence kl, batch_size 8")
    assert "6 of 6" in lines[1]
    assert lines[1].split()[5] == f"{json.loads((tmp_path / 'out/fgan/metrics.json').read_text())['fid']:.4g}"
    monkeypatch.setattr("sys.argv", ["evaluate.py", "out/fgan", "nowhere", *words[3:]])
    with pytest.raises(SystemExit) as stop:
        evaluate.main()
    assert "nowhere: there is no such run folder" in str(stop.value)
    assert "\n" not in str(stop.value)


def test_names_that_matplotlib_would_stumble_over(tmp_path):
    columns = [column("a$x^$"), column("caf\udce9")]
    report.draw_comparison(columns, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").exists()
