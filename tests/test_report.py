"""Cells of the tables."""

from evaluation import report


def test_mean_and_deviation():
    assert report.mean_and_deviation([1.0, 3.0]) == "2.00 ± 1.41"
    assert report.mean_and_deviation([150.0, 170.0]) == "160 ± 14"
    assert report.mean_and_deviation([5.0]) == "5.00"  # of one value no deviation is known
    assert report.mean_and_deviation([None]) == "–"
    assert report.mean_and_deviation([1.0, float("nan")]) == "–"


def test_cells_of_the_table():
    assert [report.in_table(n) for n in (None, 10_000, 0.12345, 1368.4)] == ["–", "10,000", "0.1235", "1368"]


def test_differences_seed_by_seed():
    ours, theirs = [{"fid": 5.0}, {"fid": 9.0}], [{"fid": 3.0}, {"fid": 5.0}]
    assert report.paired(ours, theirs, "fid") == "3.00 ± 1.41"
    assert report.paired([{"fid": None}], [{"fid": 1.0}], "fid") == "–"
