"""What an evaluation shows: evaluate.png of one run, compare.png of several side by side. Not here: tables as such."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from evaluation.curve import FILE, read_points
from evaluation.metrics import nearest
from evaluation.options import Options
from evaluation.reference import Reference, pixels
from evaluation.results import Column, floor_of, headings, remarks, rows
from evaluation.tables import cell, marked, print_table, write_table
from training.files import UserError, make_folder, write_by
from training.log import smooth


def pictures(
    shown: Tensor, between: Tensor | None, lines: Tensor | None, reference: Reference, grid: Callable[..., Image.Image]
) -> list[tuple[str, Image.Image]]:
    """24 samples above their nearest training images, walks between noise vectors, and between real images: each with
    a title. grid: how images become a picture."""
    _, index = nearest(pixels(shown, reference.device), reference.seen_pixels())
    neighbours = reference.train.images[index.cpu()]
    order = torch.cat([shown[:12], neighbours[:12], shown[12:24], neighbours[12:24]])
    panels = [("samples, and below each its nearest training image", grid(order, columns=12))]
    if between is not None:
        walks = grid(between.flatten(0, 1), columns=between.shape[1])
        panels.append(("from one noise vector to another", walks))
    if lines is not None:
        kind = "held-out" if reference.classifier else "training"
        title = (
            f"a {kind} image | the nearest G(z) found | from this z to another one | its G(z) | another {kind} image"
        )
        panels.append((title, grid(lines, columns=len(lines) // 2)))
    return panels


def draw(panels: list[tuple[str, Image.Image]], share: list | None, real_share: list | None, path: Path) -> None:
    """Titled pictures one below the other and, where there are classes, the share of each."""
    from matplotlib.figure import Figure  # here, for its import takes half a second

    heights = [picture.height / picture.width * 10 for _, picture in panels] + [2.0] * (share is not None)
    figure = Figure(figsize=(10, sum(heights) + 0.4 * len(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, (title, picture) in zip(axes, panels):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    if share is not None:
        places = np.arange(len(share))
        axes[-1].bar(places - 0.2, share, 0.4, label="samples")
        axes[-1].bar(places + 0.2, real_share, 0.4, label="real, held out")
        axes[-1].set_xticks(places)
        axes[-1].set_title("share of each class", fontsize=10)
        axes[-1].legend(fontsize=8)
    write_by(path, lambda file: figure.savefig(file, format="png", dpi=80))


Curves = dict[str, tuple[list[float], list[float]]]
"""Steps and values by name."""


def read_log(path: Path) -> Curves:
    """The curves in a log.csv, and in the fid.csv beside it; {} if there is none. Raises UserError if it is no log."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
        columns = {name: [float(line[name]) for line in lines] for name in (lines[0] if lines else {})}
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is no log of these scripts: {error}") from error
    if "step" not in columns:
        return {}
    steps = columns.pop("step")
    return {name: (steps, values) for name, values in columns.items()} | read_points(path.with_name(FILE))


def draw_comparison(columns: list[Column], path: Path, all_curves: bool = False) -> None:
    """Sample grids side by side, curves of the same name in one panel, the numbers below, the floor beside them.

    Panels are of the curves that all runs have, unless all_curves.
    """
    from matplotlib.figure import Figure  # here, for its import takes half a second

    titles = [drawable("\n".join(words)) for words in headings(columns)]
    logs = [[read_log(result.log) if result.log else {} for result in column.results] for column in columns]
    names = panels_of(logs, all_curves)
    across, width = max(2, len(columns)), 4 * max(2, len(columns))
    lines = -(-len(names) // across)
    keys = rows(columns)
    heights = [
        4.2 + 0.2 * max(title.count("\n") + 1 for title in titles),
        max(0.1, 2.8 * lines),
        0.6 + 0.24 * len(keys),
    ]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    above, middle, below = figure.subfigures(3, 1, height_ratios=heights)
    for axes, title, column in zip(above.subplots(1, len(columns), squeeze=False)[0], titles, columns):
        axes.imshow(column.first.picture)
        axes.set_title(title, fontsize=10)
        axes.set_anchor("S")  # the room is above, for the titles
        axes.axis("off")
    styles = [{"color": f"C{j}", "linestyle": ("-", "--", ":", "-.")[j // 10 % 4]} for j in range(len(columns))]
    for i, name in enumerate(names):
        draw_panel(middle.add_subplot(lines, across, i + 1), name, columns, logs, styles)
    if names:
        legend(middle, columns, logs, styles)
    draw_numbers(below.subplots(), columns, keys)
    write_by(path, lambda file: figure.savefig(file, format=path.suffix[1:], dpi=150))


def panels_of(logs: list[list[Curves]], all_curves: bool) -> list[str]:
    """The names of the curves to draw: those that all runs with a log have, or all that any has."""
    every = [log for column in logs for log in column if log]
    names = list(dict.fromkeys(name for log in every for name in log))
    return [name for name in names if all_curves or all(name in log for log in every)]


def draw_panel(axes, name: str, columns: list[Column], logs: list[list[Curves]], styles: list[dict]) -> None:
    """The curves of one name: pale as logged, or those of single seeds; bold smoothed, or the mean of the seeds."""
    for column, style in zip(logs, styles):
        curves = [log[name] for log in column if name in log]
        smoothed = [smooth(values, len(values) // 20) for _, values in curves]
        for (steps, values), bold in zip(curves, smoothed):
            axes.plot(steps, values if len(curves) == 1 else bold, **style, alpha=0.3, linewidth=0.8)
        steps = [steps for steps, _ in curves]
        if all(at == steps[0] for at in steps):
            axes.plot(*([steps[0], np.mean(smoothed, axis=0)] if curves else ()), **style)
        else:  # logged at other steps: there is no mean
            for at, bold in zip(steps, smoothed):
                axes.plot(at, bold, **style)
    missing = [column.name for column, curves in zip(columns, logs) if not any(name in log for log in curves)]
    axes.set_title(drawable(f"{name} (not in {', '.join(missing)})" if missing else name), fontsize=9)
    if name.startswith("fid"):
        axes.set_yscale("log")
    axes.set_xlabel("generator updates", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def legend(figure, columns: list[Column], logs: list[list[Curves]], styles: list[dict]) -> None:
    """Whose colour it is, and what a pale line means."""
    from matplotlib.lines import Line2D

    several = any(len(column.results) > 1 for column in columns)
    meaning = "pale: as logged; bold: smoothed over 5 % of the run"
    meaning += "; of several seeds, pale: each, smoothed; bold: their mean" * several
    drawn = {drawable(c.name): Line2D([], [], **s) for c, log, s in zip(columns, logs, styles) if any(log)}
    words = {"title": meaning, "title_fontsize": 7, "fontsize": 7, "ncols": len(columns), "loc": "outside upper left"}
    figure.legend(drawn.values(), drawn, **words)


def draw_numbers(axes, columns: list[Column], keys: list[str]) -> None:
    """The table, with the direction that is better, and the floor as its last column."""
    every = [*columns, floor_of(columns)]
    axes.axis("off")
    axes.set_title("↑ higher is better, ↓ lower is better; real (floor): held-out real images as samples", fontsize=8)
    cells = [[cell(column, key) for column in every] for key in keys]
    short = [drawable(Path(column.name).name) for column in every]
    axes.table(cells, rowLabels=[marked(key) for key in keys], colLabels=short, loc="center")


def compare(columns: list[Column], options: Options) -> None:
    """The table, also as a file if asked for; for several columns one picture of them all."""
    print_table(columns)
    for line in remarks(columns):
        print(line)
    if options.table:
        write_table(columns, Path(options.table))
        print(f"the table: {options.table}")
    if len(columns) > 1:
        path = Path(options.compare)
        make_folder(path.parent)
        draw_comparison(columns, path, options.all_curves)
        print(f"side by side: {path}")


def drawable(text: str) -> str:
    """A text that matplotlib draws as it stands: no $ that begins a formula, nothing that no font could show."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("$", r"\$")
