"""Does a loss follow the samples? Spearman's correlation of what D's loss estimates with the FID, over finished runs.

python evaluate.py --seeds 10 --jobs 2 dcgan.py wgan.py wgan_gp.py "--flags=--fid-every 100"
python -m benchmarks.correlation out/seeds/*

The estimate is `wasserstein` where a run has logged it, else (log 4 − loss_D)/2: the Jensen-Shannon divergence, if D is
at its best (Goodfellow et al. 2014). Two series that both fall with time correlate in any case. So the correlation is
also taken from the first digits on, where samples improve slowly, and it is said how many times the estimate falls.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from scipy.stats import spearmanr

import common
from benchmarks.measuring import command
from evaluation.curve import FILE, read_points
from evaluation.results import mean_and_deviation
from training.files import UserError
from training.terminal import read_flags


@dataclass(kw_only=True)
class Options:
    """Which runs."""

    runs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Folders of runs that were trained with --fid-every."""
    digits: float = 150.0
    """FID below which there are digits to be seen."""


def estimate_and_fid(run: common.Result) -> tuple[np.ndarray, np.ndarray]:
    """At each point of fid.csv: the mean of the estimate since the point before, and the FID."""
    points = read_points(run.folder / FILE)
    if len(steps := points.get("fid", ([], []))[0]) < 5:
        raise UserError(f"{run.folder / FILE} has {len(steps)} points of the FID, needed are 5: train with --fid-every")
    log = {name: np.array(values) for name, values in run.log.items()}
    if not log.keys() & {"wasserstein", "loss_D"}:
        raise UserError(f"{run.folder}/log.csv has neither wasserstein nor loss_D")
    estimate = log["wasserstein"] if "wasserstein" in log else (math.log(4) - log["loss_D"]) / 2
    since = [estimate[(log["step"] > a) & (log["step"] <= b)] for a, b in zip([0, *steps], steps)]
    if not all(map(len, since)):
        raise UserError(f"{run.folder}: log.csv has no row between two points of {FILE}: let --log-every be smaller")
    return np.array([part.mean() for part in since]), np.array(points["fid"][1])


def compare(estimates: np.ndarray, fids: np.ndarray, digits: float) -> dict[str, float]:
    """Spearman's correlation over the run, and from the first digits on; how many times the estimate falls from there,
    and from its peak, to the end. nan: there are too few points."""
    first = int(np.argmax(fids < digits)) if (fids < digits).any() else len(fids) - 1
    late = spearmanr(estimates[first:], fids[first:]).statistic if len(fids) - first > 2 else math.nan
    falls = {"it falls": estimates[first] / estimates[-1], "from its peak": estimates.max() / estimates[-1]}
    return {"correlation": spearmanr(estimates, fids).statistic, "from the first digits on": late, **falls}


@command
def main() -> None:
    options = read_flags(Options, "python -m benchmarks.correlation", __doc__)
    if not options.runs:
        raise UserError("name the folders of one run or more")
    found: dict[str, list[dict[str, float]]] = {}
    for run in [common.load(Path(folder)) for folder in options.runs]:
        estimates, fids = estimate_and_fid(run)
        found.setdefault(run.script, []).append(row := compare(estimates, fids, options.digits))
        numbers = ", ".join(f"{name} {value:.2f}" for name, value in row.items())
        print(f"{run.folder}: {numbers}; FID {fids[0]:.0f} to {fids[-1]:.0f}, estimate at the end {estimates[-1]:.3g}")
    print(f"\n| script | runs | {' | '.join(row)} |\n|---|---|{'---|' * len(row)}")
    for script, rows in found.items():
        print(f"| {script} | {len(rows)} |", *(f"{mean_and_deviation([r[name] for r in rows])} |" for name in row))


if __name__ == "__main__":
    main()
