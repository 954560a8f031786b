"""Cells of the tables."""

from evaluation import results


def test_mean_and_deviation():
    assert results.mean_and_deviation([1.0, 3.0]) == "2.00 ± 1.41"
    assert results.mean_and_deviation([150.0, 170.0]) == "160 ± 14"
    assert results.mean_and_deviation([5.0]) == "5.00"  # of one value no deviation is known
    assert results.mean_and_deviation([None]) == "–"
    assert results.mean_and_deviation([]) == "–"
    assert results.mean_and_deviation([1.0, float("nan")]) == "–"


def test_cells_of_the_table():
    assert [results.in_table(n) for n in (None, 10_000, 0.12345, 1368.4)] == ["–", "10,000", "0.1235", "1368"]
