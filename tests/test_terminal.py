"""What a run prints."""

import re

from conftest import start


def test_progress_in_a_pipe_is_short(tmp_path, data_dir):
    process = start("fgan.py", "--steps", 300, "--data-dir", data_dir, cwd=tmp_path)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0
    assert len(re.split(r"[\r\n]+", err.strip())) <= 5
