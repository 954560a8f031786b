"""Tables as files: what each form holds, names that LaTeX would stumble over, what is refused."""

import csv
import dataclasses
import json
import re

import pytest
from test_comparison import result

from evaluation import tables
from evaluation.options import Options
from evaluation.results import Column


@pytest.fixture
def columns():
    first = Column("out/a", [result(f"out/a-{seed}", seed=seed, fid=50.0 + seed) for seed in range(3)])
    return [first, Column("out/b", [result(f"out/b-{seed}", gamma=0.5, seed=seed, fid=40.0) for seed in range(3)])]


def test_csv(columns, tmp_path):
    tables.write_table(columns, tmp_path / "new/t.csv")
    with (tmp_path / "new/t.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["out/a", "out/b", "real (floor)"]
    assert [row["settings"] for row in rows] == ["gamma 0.95", "gamma 0.5", ""]
    assert [row["n"] for row in rows] == ["3", "3", "1"]
    assert [float(row["fid"]) for row in rows] == [51.0, 40.0, 2.0]
    assert [row["fid_std"] for row in rows] == ["1.0", "0.0", ""]


def test_json(columns, tmp_path):
    tables.write_table(columns, tmp_path / "t.json")
    found = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    first, second = found["columns"]
    assert first["mean"]["fid"] == 51
    assert first["std"]["fid"] == 1
    assert [run["fid"] for run in first["runs"]] == [50, 51, 52]
    assert second["minus_first"]["fid"] == [-10, -11, -12]
    assert found["floor"]["fid"] == 2


def test_markdown(columns, tmp_path):
    tables.write_table(columns, tmp_path / "t.md")
    text = (tmp_path / "t.md").read_text(encoding="utf-8")
    assert text.startswith("|  | fid | classes |\n|---|---|---|\n| gamma 0.95 (n = 3) | 51.0 ± 1.0 | 10.0 ± 0.0 |\n")
    assert "| real (floor) | 2 | 10 |\n" in text
    assert "out/b − out/a, seed by seed: fid -11.0 ± 1.0" in text


def test_latex(columns, tmp_path):
    columns[1].name = "my_runs/50%&$#{}~^"
    tables.write_table(columns, tmp_path / "t.tex")
    lines = (tmp_path / "t.tex").read_text(encoding="utf-8").splitlines()
    body = [line for line in lines if not line.startswith("%")]
    assert body[0] == r"\begin{tabular}{lrr}"
    assert body[-1] == r"\end{tabular}"
    assert r"gamma 0.95 (n = 3) & 51.0 $\pm$ 1.0 & 10.0 $\pm$ 0.0 \\" in body
    assert [line.count("&") for line in body if line.endswith(r"\\")] == [2] * 4
    assert r"fid $\downarrow$" in body[2]
    assert "".join(body).isascii()
    assert all(line.isascii() for line in lines)


def test_every_sign_that_latex_knows_is_escaped():
    found = tables.escaped(r"a_b%c&d$e#f{g}h~i^j\k<l>m −1 -2 n-3 ± ↓")
    assert (
        re.sub(r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\\[_%&$#{}]|\$\S+?\$", "", found)
        == "abcdefghijklm 1 2 n-3  "
    )


@pytest.mark.parametrize("flags", [{"table": "x.docx"}, {"table": "x"}, {"compare": "x.gif"}, {"seeds": 2}])
def test_what_is_no_table_and_no_picture_is_refused(flags):
    (name, value), *_ = flags.items()
    with pytest.raises(ValueError, match=f"--{name} {value}: must be"):
        Options(**flags)
    assert dataclasses.replace(Options(targets=("a",), table="x.tex", compare="x.pdf"), seeds=2).seeds == 2
