"""The pictures that README and docs show, from finished runs. (Those of docs/ideas.md: python -m ideas.gan and so on.)

python -m benchmarks.figures gallery out/seeds       docs/gallery.png: a row of samples of every script, seed 0
python -m benchmarks.figures twins out/seeds         docs/twins.png: D's estimate and FID in dcgan, wgan, wgan_gp
python -m benchmarks.figures divergences out/div     docs/divergences.png: f, g_f, f*∘g_f and samples of each divergence
python -m benchmarks.figures judge out/seeds         docs/judge.png: began.py's errors, and what D makes of images
python -m benchmarks.figures frontier out/frontier   docs/frontier.png: FID over began.py's L(x), with k held still
python -m benchmarks.figures gamma out               docs/gamma.png: samples for each γ, from out/gamma-γ/began-0
python -m benchmarks.figures exercises out/exercises docs/exercises-LESSON.png: samples of the runs LESSON-0, LESSON-1 …
python -m benchmarks.figures health out              docs/health.png: began_conv.py in three states, from out/good,
                                                     out/strong-D and out/collapsed
python -m benchmarks.figures faces out/faces         docs/faces.png: real images, and samples of each run
python -m benchmarks.figures faces-64 out/faces64    docs/faces-64.png: the same, of runs at 64 px; so pictograms-64
"""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from matplotlib.figure import Figure
from PIL import Image

import common
from benchmarks.measuring import command
from benchmarks.plots import divergences, frontier, health, judge, samples, show, twins
from evaluation.reference import drawn
from training.earlier import read_checkpoint
from training.files import UserError
from training.terminal import read_flags

Kind = Literal[
    "gallery",
    "twins",
    "divergences",
    "judge",
    "frontier",
    "gamma",
    "exercises",
    "health",
    "faces",
    "faces-64",
    "pictograms-64",
]


@dataclass(kw_only=True)
class Options:
    """Which picture."""

    kind: Annotated[Kind, tyro.conf.Positional]
    """What it shows."""
    runs: Annotated[Path, tyro.conf.Positional] = Path("out/seeds")
    """Folder of the runs, as evaluate.py --seeds makes them. gallery, twins, judge: of SCRIPT-0;
    divergences: of fgan-divergence-NAME-0; gamma: of gamma-NUMBER/began-0; frontier: of all with --fid-every;
    exercises: LESSON-0 (the default) and LESSON-NUMBER; health: of three runs of began_conv.py; faces, faces-64,
    pictograms-64: of all SCRIPT-SEED or SCRIPT-FLAG-VALUE-SEED."""


def gallery(runs: Path) -> Figure:
    scripts = [s for s in ("dcgan", "wgan", "wgan_gp", "fgan", "began") if (runs / f"{s}-0").is_dir()]
    if not scripts:
        raise UserError(f"{runs} holds no runs that are called SCRIPT-0")
    return a_row_each({f"{script}.py": samples(runs / f"{script}-0", 32, 16) for script in scripts})


def a_row_each(pictures: dict[str, Image.Image]) -> Figure:
    """Pictures one below the other, by their titles."""
    figure = Figure(figsize=(9, 1.7 * len(pictures)), layout="constrained")
    for axes, (title, picture) in zip(figure.subplots(len(pictures), 1, squeeze=False)[:, 0], pictures.items()):
        show(axes, picture, title)
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
    page = (Path(__file__).parents[1] / "docs/exercises.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {lesson}.py\n")[-1].split("\n## ")[0]
    titles = {"0": "without a change", **dict(re.findall(r"^\*\*(\d)\. ([^*]+?)\.?\*\*", section, re.M))}
    figure = Figure(figsize=(2.4 * len(found), 2.65), layout="constrained")
    for axes, run in zip(figure.subplots(1, len(found), squeeze=False)[0], found):
        show(axes, samples(run, 36, 6), textwrap.fill(titles.get(run.name[-1], run.name), 26))
    return figure


@command
def main() -> None:
    options = read_flags(Options, "python -m benchmarks.figures", __doc__)
    draw = {f.__name__: f for f in (gallery, twins, divergences, judge, frontier, gamma, health)}
    draw |= dict.fromkeys(("faces", "faces-64", "pictograms-64"), beside_real)
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
