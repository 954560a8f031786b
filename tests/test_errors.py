"""The words for what a user can put right."""

import pytest

from training.files import first_line, flag, require


def test_a_value_out_of_range_is_named_with_its_flag():
    require(True, "--gamma", 0.5, "in (0, 1]")
    with pytest.raises(ValueError, match=r"--gamma 2: must be in \(0, 1\]"):
        require(False, "--gamma", 2, "in (0, 1]")
    assert flag("batch_size") == "--batch-size"


def test_first_line():
    assert first_line("\n one\ntwo ") == "one"
    assert first_line("missing:\n\tone\n\ttwo") == "missing: one"
    assert first_line(ValueError("bad\nvery")) == "bad"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line("x" * 999)) == 200
