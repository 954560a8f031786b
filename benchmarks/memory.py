"""Seconds to prepare a large folder of images of 64 px, and the peak memory of a run of fgan.py on it.

python -m benchmarks.memory
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from workshop.terminal import read_flags


@dataclass(kw_only=True)
class Options:
    """How large a folder."""

    images: int = 200_000
    """Images of 80×70 pixels, which are made first."""


def main() -> None:
    options = read_flags(Options, "python -m benchmarks.memory", __doc__)
    if not hasattr(os, "wait4"):
        sys.exit("memory.py: this system does not say how much memory a process had; Linux and macOS do")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "images").mkdir()
        for i in tqdm(range(options.images), desc="making images"):
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
            coarse.resize((80, 70)).save(f"{folder}/images/{i:06d}.jpg")
        words = ["fgan.py", "--data", f"{folder}/images", "--data-dir", f"{folder}/data", "--out", f"{folder}/run"]
        for steps in (1, 2000):
            start = time.perf_counter()
            child = subprocess.Popen([sys.executable, *words, "--steps", str(steps), "--overwrite"])
            _, status, usage = os.wait4(child.pid, 0)
            if status:
                sys.exit("memory.py: the training has failed, as it says above")
            seconds = time.perf_counter() - start
            peak = usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)  # bytes there, KiB elsewhere
            what = "preparing and a first step" if steps == 1 else f"{steps} steps, prepared before"
            print(f"{options.images:,} images: {what}: {seconds:.0f} s; peak memory {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
