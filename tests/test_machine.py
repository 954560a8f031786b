"""What malloc is told."""

import os
import platform
import subprocess
import sys

import pytest
from conftest import ROOT

FAULTS = """
import resource, torch
from workshop import machine
torch.set_num_threads(1)
def step():
    pieces = [torch.zeros(1 << 20) for _ in range(8)]  # 4 MB each
    return pieces[0]
def page_faults():
    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(page_faults())
machine.keep_freed_memory()
print(page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone can be told")
def test_freed_memory_serves_the_next_step():
    # By itself glibc moves its thresholds as it goes, and may happen to keep these pieces; told so it never does
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    environment.pop("LD_PRELOAD", None)
    words = [sys.executable, "-c", FAULTS]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True)
    returned, kept = map(int, done.stdout.split())
    assert kept < returned / 10  # here 0 and 82,000
