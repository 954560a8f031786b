"""The pictures that README and docs show, from finished runs. (Those of docs/ideas.md: python -m ideas.gan and so on.)

python -m benchmarks.figures gallery out/seeds       docs/gallery.png: a row of samples of every script, seed 0
python -m benchmarks.figures fashion out/fashion     docs/fashion.png: the same, of runs with --data fashion-mnist
python -m benchmarks.figures long out/long           docs/long.png: the same, of runs four times as long
python -m benchmarks.figures twins out/seeds         docs/twins.png: D's estimate and FID in dcgan, wgan, wgan_gp
python -m benchmarks.figures divergences out/div     docs/divergences.png: f, g_f, f*∘g_f and samples of each divergence
python -m benchmarks.figures judge out/seeds         docs/judge.png: began.py's errors, and what D makes of images
python -m benchmarks.figures gamma out               docs/gamma.png: samples for each γ, from out/gamma-γ/began-0
python -m benchmarks.figures exercises out/exercises docs/exercises-LESSON.png: samples of the runs LESSON-0, LESSON-1 …
python -m benchmarks.figures health out              docs/health.png: began_conv.py in three states, from out/good,
                                                     out/strong-D and out/collapsed
python -m benchmarks.figures faces out/faces         docs/faces.png: real images, and samples of each run; the same for
                                                     faces-64, faces-gamma, pictograms, pictograms-64 and their runs
"""

import csv
import importlib
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from matplotlib.figure import Figure
from PIL import Image

import common
import fgan
from benchmarks.correlation import estimate_and_fid
from benchmarks.measuring import command
from evaluation.reference import drawn
from training.checkpoints import load_generator, read_checkpoint
from training.files import UserError
from training.terminal import read_flags

Kind = Literal[
    "gallery",
    "fashion",
    "long",
    "twins",
    "divergences",
    "judge",
    "gamma",
    "exercises",
    "health",
    "faces",
    "faces-64",
    "faces-gamma",
    "pictograms",
    "pictograms-64",
]


@dataclass(kw_only=True)
class Options:
    """Which picture."""

    kind: Annotated[Kind, tyro.conf.Positional]
    """What it shows."""
    runs: Annotated[Path, tyro.conf.Positional] = Path("out/seeds")
    """Folder of the runs, as evaluate.py --seeds makes them. gallery, fashion, long, twins, judge: of SCRIPT-0;
    divergences: of fgan-divergence-NAME-0; gamma: of gamma-NUMBER/began-0; exercises: LESSON-0 (the default) and
    LESSON-NUMBER; health: of three runs of began_conv.py; faces, pictograms: of all SCRIPT-SEED; faces-gamma: of all
    began_conv-gamma-NUMBER-0."""


def samples(run: Path, count: int, columns: int):
    """A grid of a run's first samples."""
    checkpoint = read_checkpoint(run, None)
    module = importlib.import_module(checkpoint["script"])
    G, hp = load_generator(checkpoint, module.Hyperparameters, module.Generator, torch.device("cpu"))
    return common.grid(common.generate(G, common.noise_from_seed(0, count, hp.z_dim)), columns)


def show(axes, picture, title: str) -> None:
    axes.imshow(picture)
    axes.set_title(title, fontsize=10, loc="left")
    axes.axis("off")


def gallery(runs: Path) -> Figure:
    scripts = [s for s in ("dcgan", "wgan", "wgan_gp", "fgan", "began") if (runs / f"{s}-0").is_dir()]
    if not scripts:
        raise UserError(f"{runs} holds no runs that are called SCRIPT-0")
    return a_row_each({f"{script}.py": samples(runs / f"{script}-0", 32, 16) for script in scripts})


def twins(runs: Path) -> Figure:
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.subplots(2, 3, height_ratios=[2, 1])
    for column, script in enumerate(("dcgan", "wgan", "wgan_gp")):
        show(axes[0, column], samples(runs / f"{script}-0", 64, 8), f"{script}.py")
        run = common.load(runs / f"{script}-0")
        estimates, fids = estimate_and_fid(run)
        steps = range(run.hp.fid_every, run.step + 1, run.hp.fid_every)
        lower, right = axes[1, column], axes[1, column].twinx()
        lower.plot(steps, estimates, "C0")
        lower.set_ylim(bottom=0)
        right.semilogy(steps, fids, "C1--")
        lower.set_title("D's estimate (blue) and FID (orange, dashed)", fontsize=10)
        lower.set_xlabel("step (updates of G)")
        lower.set_ylabel("JSD" if script == "dcgan" else "Wasserstein", color="C0")
        right.set_ylabel("FID", color="C1")
        lower.grid(alpha=0.3)
    return figure


def divergences(runs: Path) -> Figure:
    names = [name for name in fgan.DIVERGENCES if (runs / f"fgan-divergence-{name}-0").is_dir()]
    if not names:
        raise UserError(f"{runs} holds no runs that are called fgan-divergence-NAME-0")
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


def a_row_each(pictures: dict[str, Image.Image]) -> Figure:
    """Pictures one below the other, by their titles."""
    figure = Figure(figsize=(9, 1.7 * len(pictures)), layout="constrained")
    for axes, (title, picture) in zip(figure.subplots(len(pictures), 1, squeeze=False)[:, 0], pictures.items()):
        show(axes, picture, title)
    return figure


def judge(runs: Path) -> Figure:
    run = common.load(runs / "began-0")
    saved = {int(path.stem): path for path in sorted((run.folder / "reconstructions").glob("*.png"))}
    if not {100, 2000} <= saved.keys():
        raise UserError(f"{run.folder} holds no reconstructions of steps 100 and 2000")
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    table = figure.subplots(2, 2)
    axes, pictures = table[0, 0], (table[0, 1], table[1, 0], table[1, 1])
    for name, label, style in (("L_real", "L(x)", "C0"), ("L_fake", "L(G(z))", "C1--"), ("k", "k", "C2:")):
        axes.plot(run.log["step"], run.log[name], style, label=label)
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel("step")
    axes.legend()
    axes.grid(alpha=0.3)
    for axes, step in zip(pictures, (100, 2000, max(saved))):
        show(axes, Image.open(saved[step]), f"step {step}: x, D(x), G(z), D(G(z))")
    return figure


def gamma(runs: Path) -> Figure:
    found = sorted(runs.glob("gamma-*"))
    if not found:
        raise UserError(f"{runs} holds no folders that are called gamma-NUMBER")
    return a_row_each(
        {f"γ = {folder.name.removeprefix('gamma-')}": samples(folder / "began-0", 32, 16) for folder in found}
    )


def beside_real(runs: Path) -> Figure:
    found = sorted(runs.glob("*-[0-9]"))
    if not found:
        raise UserError(f"{runs} holds no runs that are called SCRIPT-SEED")
    hp = read_checkpoint(found[0], None)["hyperparameters"]
    real = common.load_images(hp["data"], hp["data_dir"], hp["image_size"], hp["channels"]).images
    columns, count = (16, 48) if hp["image_size"] < 64 else (12, 24)
    pictures = {"real images": common.grid(drawn(real, count), columns)}
    for run in found:
        script, *changed, seed = run.name.split("-")
        title = f"{script}.py, " + (" ".join(changed) if changed else f"seed {seed}")
        pictures[title] = samples(run, count, columns)
    return a_row_each(pictures)


def exercises(runs: Path, lesson: str) -> Figure:
    found = sorted(runs.glob(f"{lesson}-[0-9]"))
    section = Path("docs/exercises.md").read_text(encoding="utf-8").split(f"\n## {lesson}.py\n")[-1].split("\n## ")[0]
    titles = {"0": "without a change", **dict(re.findall(r"^\*\*(\d)\. ([^*]+?)\.?\*\*", section, re.M))}
    figure = Figure(figsize=(2.4 * len(found), 2.65), layout="constrained")
    for axes, run in zip(figure.subplots(1, len(found), squeeze=False)[0], found):
        show(axes, samples(run, 36, 6), textwrap.fill(titles.get(run.name[-1], run.name), 32))
    return figure


def health(runs: Path) -> Figure:
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    names = {"good": "a good run", "strong-D": "D too strong", "collapsed": "G collapsed"}
    table = figure.subplots(4, 3, height_ratios=[3, 2, 2, 2])
    for column, (name, title) in zip(table.T, names.items()):
        log, pictures = runs / name / "log.csv", sorted((runs / name / "samples").glob("*.png"))
        rows = list(csv.DictReader(log.open(encoding="utf-8"))) if log.exists() else []
        if not rows or not pictures or "balance" not in rows[0]:
            raise UserError(f"{runs / name} is no run of began_conv.py with a log and pictures")
        last = pictures[-1]
        show(column[0], Image.open(last), f"{title}: step {int(last.stem)}")
        steps = [int(row["step"]) for row in rows]
        for axes, keys in zip(column[1:], (("L_real", "L_fake", "M"), ("k",), ("balance", "balance_target"))):
            for key in keys:
                axes.plot(steps, [float(row[key]) for row in rows], label=key)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=7)
            axes.tick_params(labelsize=7)
        for axes in column[[1, 3]]:  # losses and their ratio
            axes.set(yscale="log", ylim=(0.001, 20))
        column[2].set_ylim(0, 1)
        column[-1].set_xlabel("steps", fontsize=8)
    return figure


@command
def main() -> None:
    options = read_flags(Options, "python -m benchmarks.figures", __doc__)
    draw = {f.__name__: f for f in (gallery, twins, divergences, judge, gamma, health)}
    draw |= {"fashion": gallery, "long": gallery}  # the same picture of other runs
    draw |= dict.fromkeys(("faces", "faces-64", "faces-gamma", "pictograms", "pictograms-64"), beside_real)
    if options.kind == "exercises":
        lessons = sorted({run.name[:-2] for run in options.runs.glob("*-[0-9]")})
        if not lessons:
            raise UserError(f"{options.runs} holds no folders that are called LESSON-NUMBER")
        figures = {f"exercises-{lesson}": exercises(options.runs, lesson) for lesson in lessons}
    else:
        figures = {options.kind: draw[options.kind](options.runs)}
    for name, figure in figures.items():
        path = Path("docs") / f"{name}.png"
        figure.savefig(path, dpi=80)
        print(path)


if __name__ == "__main__":
    main()
