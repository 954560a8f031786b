"""The flags of evaluate.py, and the settings of evaluate.measure."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from evaluation.tables import TABLES
from training.checkpoints import make_plain
from training.files import flag, require
from training.machine import DEVICES

FORMATS = (".png", ".pdf", ".svg")


@dataclass(kw_only=True)
class Options:
    """How good, how diverse, against what floor."""

    targets: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Run folders, .npz files or folders of PNGs; with --seeds: scripts, each with flags of its own if in quotes.
    None: list the runs in out/."""

    # What is measured
    samples: int = 10_000
    """Images to generate and to compare with. Fewer if there are fewer; metrics.json says how many."""
    sample_seed: int = 0
    """Of the noise."""
    k: int = 5
    """Neighbours of a neighbourhood, for precision, recall, density and coverage. 5: Naeem's; 3: Kynkäänniemi's."""
    second: bool = False
    """Also fid_second, by a classifier by which no default was or will be chosen."""
    kde: bool = False
    """Also kde_nats, the log-likelihood of real images by a Parzen window over 16,000 samples (or fewer)."""
    data: str = "auto"
    """What to compare with, as the scripts' --data. auto: what a run learned from; for images from elsewhere mnist."""
    data_dir: str = "data"
    """Folder in which data sets and the classifier are kept."""
    device: str = "auto"
    """cpu, cuda, or cuda:1 for the second GPU; auto: cuda, else cpu. With --seeds also for the trainings."""

    # What is written
    table: str | None = None
    """The table as a file: .tex or .md with a row for each setting, .csv or .json with every number."""
    compare: str = "out/compare.png"
    """With several columns: their samples, curves and numbers in one picture, .png, .pdf or .svg."""
    all_curves: bool = False
    """In that picture also the curves that only some of the runs have."""

    # Many seeds
    seeds: int = 0
    """Above 0: the targets are scripts; train each with seeds 0, 1, … and report mean ± std."""
    flags: str = ""
    """With --seeds: further flags for the scripts, in one word: "--flags=--gamma 0.7"."""
    jobs: int = 1
    """With --seeds: trainings at a time, which share the cores."""
    out: str = "out/seeds"
    """With --seeds: the folder of the runs. Finished ones that are there are used, and not trained again."""

    def __post_init__(self) -> None:
        make_plain(self)
        known = re.fullmatch(DEVICES, self.device) and self.device != "mps"
        require(known, "--device", self.device, "auto, cpu, cuda or cuda:N")
        require(self.targets != () or not self.seeds, "--seeds", self.seeds, "followed by scripts")
        require(self.samples >= 100, "--samples", self.samples, "at least 100")
        require(1 <= self.k < 100, "--k", self.k, "in 1 to 99")
        require(self.seeds >= 0, "--seeds", self.seeds, "0 or more")
        require(self.jobs >= 1, "--jobs", self.jobs, "at least 1")
        for name, ends in (("compare", FORMATS), ("table", TABLES)):
            path = getattr(self, name)
            allowed = f"a name that ends in {', '.join(ends)}"
            require(path is None or Path(path).suffix in ends, flag(name), path, allowed)
