"""The pictures that README and docs show, from finished runs.

python -m benchmarks.figures gallery out/seeds       docs/gallery.png: a row of samples of every script, seed 0
python -m benchmarks.figures fashion out/fashion     docs/fashion.png: the same, of runs with --data fashion-mnist
python -m benchmarks.figures twins out/seeds         docs/twins.png: samples and losses of dcgan, wgan, wgan_gp, seed 0
python -m benchmarks.figures divergences out/div     docs/divergences.png: f, g_f, f*∘g_f and samples of each divergence
python -m benchmarks.figures gamma out               docs/gamma.png: samples for each γ, from out/gamma-γ/began-0
python -m benchmarks.figures modes                   docs/modes.png: which modes each divergence covers (needs no run)
"""

import csv
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from matplotlib.figure import Figure

import common
import fgan
from benchmarks.modes import draw as draw_modes
from workshop.checkpoints import load_generator, read_checkpoint
from workshop.curves import smooth
from workshop.errors import UserError
from workshop.terminal import read_flags


@dataclass(kw_only=True)
class Options:
    """Which picture."""

    kind: Annotated[Literal["gallery", "fashion", "twins", "divergences", "gamma", "modes"], tyro.conf.Positional]
    """What it shows."""
    runs: Annotated[Path, tyro.conf.Positional] = Path("out/seeds")
    """Folder of the runs, as evaluate.py --seeds makes them. gallery, fashion, twins: of SCRIPT-0; divergences: of
    fgan-divergence-NAME-0; gamma: of gamma-NUMBER/began-0."""


def samples(run: Path, count: int, columns: int):
    """A grid of a run's first samples."""
    checkpoint = read_checkpoint(run, None, "cpu")
    module = importlib.import_module(checkpoint["script"])
    G, hp = load_generator(checkpoint, module.Hyperparameters, module.Generator, torch.device("cpu"))
    return common.grid(common.generate(G, common.noise_from_seed(0, count, hp.z_dim)), columns)


def show(axes, picture, title: str) -> None:
    axes.imshow(picture)
    axes.set_title(title, fontsize=10, loc="left")
    axes.axis("off")


def gallery(runs: Path) -> Figure:
    figure = Figure(figsize=(9, 8), layout="constrained")
    for axes, script in zip(figure.subplots(5, 1), ("dcgan", "wgan", "wgan_gp", "fgan", "began")):
        show(axes, samples(runs / f"{script}-0", 32, 16), f"{script}.py")
    return figure


def fashion(runs: Path) -> Figure:
    return gallery(runs)


def twins(runs: Path) -> Figure:
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.subplots(2, 3, height_ratios=[2, 1])
    for column, (script, name) in enumerate((("dcgan", "loss_G"), ("wgan", "wasserstein"), ("wgan_gp", "wasserstein"))):
        show(axes[0, column], samples(runs / f"{script}-0", 64, 8), f"{script}.py")
        rows = list(csv.DictReader((runs / f"{script}-0" / "log.csv").open(encoding="utf-8")))
        values = [float(row[name]) for row in rows]
        steps = [int(row["step"]) for row in rows]
        axes[1, column].plot(steps, values, alpha=0.3)
        axes[1, column].plot(steps, smooth(values, max(1, len(steps) // 20)), color="C0")
        axes[1, column].set_title({"loss_G": "loss of G", "wasserstein": "Wasserstein estimate"}[name], fontsize=10)
        axes[1, column].set_xlabel("generator updates")
        axes[1, column].grid(alpha=0.3)
    return figure


def divergences(runs: Path) -> Figure:
    names = [name for name in fgan.DIVERGENCES if (runs / f"fgan-divergence-{name}-0").is_dir()]
    figure = Figure(figsize=(12, 1.35 * len(names)), layout="constrained")
    table = figure.subplots(len(names), 4, width_ratios=[1, 1, 1, 4], squeeze=False)
    u, v = torch.linspace(0.05, 4, 200), torch.linspace(-3, 3, 200)
    for row, name in zip(table, names):
        divergence = fgan.DIVERGENCES[name]
        for axes, x, y in (
            (row[0], u, divergence.f(u)),
            (row[1], v, divergence.activation(v)),
            (row[2], v, divergence.composite(v)),
        ):
            axes.plot(x, y)
            axes.set_ylim(-4, 4)
            axes.grid(alpha=0.3)
            axes.tick_params(labelsize=6)
        row[0].set_ylabel(name, fontsize=7)
        row[3].imshow(samples(runs / f"fgan-divergence-{name}-0", 24, 12))
        row[3].axis("off")
    for axes, title in zip(table[0], ("f(u)", "g_f(v)", "f*(g_f(v))", "samples")):
        axes.set_title(title, fontsize=9)
    return figure


def gamma(runs: Path) -> Figure:
    found = sorted(runs.glob("gamma-*"))
    figure = Figure(figsize=(9, 1.7 * len(found)), layout="constrained")
    for axes, folder in zip(figure.subplots(len(found), 1, squeeze=False)[:, 0], found):
        show(axes, samples(folder / "began-0", 32, 16), f"γ = {folder.name.removeprefix('gamma-')}")
    return figure


def modes(runs: Path) -> Figure:
    return draw_modes(seed=0)


def main() -> None:
    options = read_flags(Options, "python -m benchmarks.figures", __doc__)
    draw = {function.__name__: function for function in (gallery, fashion, twins, divergences, gamma, modes)}
    path = Path("docs") / f"{options.kind}.png"
    try:
        draw[options.kind](options.runs).savefig(path, dpi=80)
    except UserError as error:
        sys.exit(f"figures.py: {error}")
    print(path)


if __name__ == "__main__":
    main()
