"""The figures with curves: losses, estimates, errors and the table of divergences, beside samples.

Not here: figures of samples alone, and the command (figures.py).
"""

import csv
import importlib
from pathlib import Path

import torch
from matplotlib.figure import Figure
from PIL import Image

import common
import fgan
from benchmarks.correlation import estimate_and_fid
from training.earlier import load_generator, read_checkpoint
from training.files import UserError
from training.log import columns


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


def frontier(runs: Path) -> Figure:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes, found = figure.subplots(), {}
    for fids in sorted(runs.glob("*/fid.csv")):
        checkpoint = read_checkpoint(fids.parent, None)
        row = columns(checkpoint["log"], checkpoint["step"])
        if "k" not in row:
            continue
        fid = float(fids.read_text(encoding="utf-8").split()[-1].split(",")[1])
        found.setdefault(checkpoint["script"], []).append((row["k"][-1], min(row["L_real"][-1], 1.0), fid))
    if not found:
        raise UserError(f"{runs} holds no runs of began.py with --fid-every")
    for script, points in found.items():
        k, L_real, fid = zip(*sorted(points))
        axes.loglog(L_real, fid, "o-", label=f"{script}.py")
        for each in zip(k, L_real, fid):
            axes.annotate(f"{each[0]:.2g}", each[1:], (5, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel("L(x), how badly D draws real digits (1: 1 or more)")
    axes.set_ylabel("FID of 2,000 samples")
    for axis, ticks in ((axes.xaxis, (0.05, 0.1, 0.2, 0.5, 1)), (axes.yaxis, (25, 50, 100, 200, 400, 800))):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    real = common.load_images(data_dir=checkpoint["hyperparameters"]["data_dir"]).images / 127.5
    axes.axvline(real.var(0).mean().item(), color="0.5", linestyle="--", label="L(x) if D always drew the mean digit")
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set_title("numbers: k, held still")
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
