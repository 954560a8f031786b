"""Does the Wasserstein estimate fall as the FID does? Spearman's correlation of the two over a default run.

python -m benchmarks.correlation --seeds 1 --jobs 2
"""

import importlib
from dataclasses import dataclass

import torch
from scipy.stats import spearmanr

import common
from benchmarks.measuring import Enough, command, images_of, save, score, side_by_side, watch
from evaluation.results import mean_and_deviation
from training.terminal import read_flags

WASSERSTEIN = ("wgan", "wgan_gp")


@dataclass(kw_only=True)
class Options:
    """How many runs."""

    seeds: int = 3
    """Runs of each script."""
    jobs: int = 1
    """Runs at the same time, each with its share of the cores."""
    data_dir: str = "data"
    """Folder of the data sets."""
    out: str = "out/correlation.json"
    """Where the numbers go."""


def estimate_and_fid(task: tuple[str, int, Options]) -> tuple[list[float], list[float]]:
    """20 times in a default run: the mean Wasserstein estimate since the last time, and FID of 5,000 samples."""
    script, seed, options = task
    steps = importlib.import_module(script).Hyperparameters().steps
    since, estimates, fids = [], [], []

    def look(run: common.Run, values: dict) -> None:
        since.append(values["wasserstein"].detach())
        if (run.step + 1) % (steps // 20) == 0:
            estimates.append(torch.stack(since).mean().item())
            since.clear()
            fids.append(score(images_of(run, 5000), options.data_dir))
        if run.step + 1 == steps:
            raise Enough

    watch(script, look, seed=seed, data_dir=options.data_dir)
    return estimates, fids


@command
def main() -> None:
    options = read_flags(Options, "python -m benchmarks.correlation", __doc__)
    tasks = [(script, seed, options) for seed in range(options.seeds) for script in WASSERSTEIN]
    found: dict[str, list[float]] = {script: [] for script in WASSERSTEIN}
    everything = []
    with side_by_side(options.jobs, options.data_dir) as pool:
        for (script, seed, _), (estimates, fids) in zip(tasks, pool.imap(estimate_and_fid, tasks)):
            found[script].append(spearmanr(estimates, fids).statistic)
            everything.append({"script": script, "seed": seed, "estimates": estimates, "fids": fids})
            print(
                f"{script}, seed {seed}: correlation {found[script][-1]:.2f}; estimate {estimates[0]:.3g} to"
                f" {estimates[-1]:.3g}, FID {fids[0]:.0f} to {fids[-1]:.0f}",
                flush=True,
            )
            save(options.out, everything)
    print("\n| script | Spearman's correlation, estimate and FID |\n|---|---|")
    for script, values in found.items():
        print(f"| {script} | {mean_and_deviation(values)} |")


if __name__ == "__main__":
    main()
