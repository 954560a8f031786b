"""What an evaluation shows: tables, mean ± standard deviation, pictures, runs side by side. Not here: the numbers."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.reference import SCALARS
from training.checkpoints import fixed_part
from training.files import UserError, write_by
from training.log import smooth

COLUMNS = ("fid", "precision", "recall", "coverage", "classes")  # of the results over seeds


def print_table(headings: list[list[str]], columns: list[dict]) -> None:
    """One row per metric; above each column one or more lines that say what it is of."""
    width = max(14, *(len(line) for heading in headings for line in heading))
    for i in range(max(map(len, headings))):
        print_row("", [heading[i] if i < len(heading) else "" for heading in headings], width)
    for key in (*SCALARS, "samples"):
        if any(numbers[key] is not None for numbers in columns):
            print_row(key, [in_table(numbers[key]) for numbers in columns], width)
    if "kde_nats" in columns[0]:
        print_row("kde_nats", [f"{n['kde_nats']:.1f} ± {n['kde_error']:.1f}" for n in columns], width)


def print_row(name: str, cells: list[str], width: int) -> None:
    print(f"{name:16}" + "".join(f"{cell:>{width + 2}}" for cell in cells))


def in_table(number: float | int | None) -> str:
    return "–" if number is None else f"{number:,}" if isinstance(number, int) else f"{number:.4g}"


def print_seeds(results: dict[str, list[dict]], seconds: dict[str, list[float]]) -> None:
    """A Markdown table: mean ± standard deviation over seeds."""
    every = [run for runs in results.values() for run in runs]
    keys = [key for key in ("fid_random", *COLUMNS, "kde_nats") if any(run.get(key) is not None for run in every)]
    print("| script | " + " | ".join(keys) + " | seconds |")
    print("|---" * (len(keys) + 2) + "|")
    for script, runs in results.items():
        cells = [mean_and_deviation([run[key] for run in runs]) for key in keys] + [mean_and_deviation(seconds[script])]
        print(f"| {script} | " + " | ".join(cells) + " |")
    first, *others = results
    for script in others:  # the same seeds, so the differences can be taken seed by seed
        differences = [paired(results[script], results[first], key) for key in keys]
        print(f"{script} − {first}, seed by seed: {', '.join(map(' '.join, zip(keys, differences)))}")


def paired(ours: list[dict], theirs: list[dict], key: str) -> str:
    """mean ± standard deviation of the differences of a number, seed by seed."""
    pairs = [(a[key], b[key]) for a, b in zip(ours, theirs)]
    return mean_and_deviation([None if None in pair else pair[0] - pair[1] for pair in pairs])


def mean_and_deviation(values: list[float | None]) -> str:
    """mean ± standard deviation, with three digits of the mean; of a single value that value."""
    if any(value is None or np.isnan(value) for value in values):
        return "–"
    mean = np.mean(values)
    digits = max(0, 2 - int(np.floor(np.log10(abs(mean) + 1e-12)))) if mean else 2
    return f"{mean:.{digits}f}" + (f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "")


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


@dataclass
class Column:
    """One of the things compared: a run, or images from elsewhere (then without script, hyperparameters, curves)."""

    name: str  # as it was given: a folder, a file
    numbers: dict
    picture: Image.Image
    script: str = ""
    hyperparameters: dict | None = None
    step: int = 0
    log: Path | None = None


def differences(column: Column, first: Column) -> list[str]:
    """How a run was made otherwise than the first one: its script, hyperparameters, steps; [] if alike."""
    if column.hyperparameters is None or first.hyperparameters is None:
        return []
    words = [f"{column.script}.py"] if column.script != first.script else []
    ours, theirs = fixed_part(column.hyperparameters), fixed_part(first.hyperparameters)
    for name in ("precision", "device"):
        ours[name], theirs[name] = column.hyperparameters.get(name), first.hyperparameters.get(name)
    words += [f"{name} {ours[name]}" for name in ours if name in theirs and ours[name] != theirs[name]]
    return words + ([f"step {column.step}"] if column.step != first.step else [])


def headings(columns: list[Column]) -> list[list[str]]:
    """What stands above each column: its name, and what differs from the first."""
    return [[column.name, *(differences(column, columns[0]) if i else [])] for i, column in enumerate(columns)]


def warnings(columns: list[Column]) -> list[str]:
    """What a reader of the table should know."""
    found = []
    data = {column.numbers["data"] for column in columns}
    if len(data) > 1:
        found.append(f"compared with different data ({', '.join(sorted(data))}): their numbers do not compare")
    counts = {column.numbers["samples"] for column in columns}
    if len(counts) > 1:
        found.append(
            f"made of {', '.join(map(str, sorted(counts)))} images: with fewer fid is higher; the floor is of the first"
        )
    for column in columns:
        if column.hyperparameters and column.step < column.hyperparameters.get("steps", 0):
            found.append(f"{column.name} is not finished: step {column.step} of {column.hyperparameters['steps']}")
    return found


def read_log(path: Path) -> dict[str, list[float]]:
    """The columns of a log.csv by name, `step` among them; {} if there is none. Raises UserError if it is no log."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        columns = {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}
        return columns if "step" in columns else {}
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is no log of these scripts: {error}") from error


def draw_comparison(columns: list[Column], path: Path) -> None:
    """Sample grids side by side, curves of the same name in one panel, the numbers below."""
    from matplotlib.figure import Figure  # here, for its import takes half a second
    from matplotlib.lines import Line2D

    titles = [drawable("\n".join(words)) for words in headings(columns)]
    short = [drawable(Path(column.name).name) for column in columns]
    logs = [read_log(column.log) if column.log else {} for column in columns]
    names = list(dict.fromkeys(name for log in logs for name in log if name != "step"))
    styles = [{"color": f"C{j}", "linestyle": ("-", "--", ":", "-.")[j // 10 % 4]} for j in range(len(columns))]
    panels, width = max(2, len(columns)), 4 * max(2, len(columns))
    rows = -(-len(names) // panels)
    heights = [4.2 + 0.2 * max(title.count("\n") + 1 for title in titles), max(0.1, 2.6 * rows), 3]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    above, middle, below = figure.subfigures(3, 1, height_ratios=heights)
    for axes, title, column in zip(above.subplots(1, len(columns), squeeze=False)[0], titles, columns):
        axes.imshow(column.picture)
        axes.set_title(title, fontsize=10)
        axes.set_anchor("S")  # the room is above, for the titles
        axes.axis("off")
    for i, name in enumerate(names):
        axes = middle.add_subplot(rows, panels, i + 1)
        for j, log in enumerate(logs):
            if name in log:
                axes.plot(log["step"], smooth(log[name], len(log["step"]) // 20), **styles[j])
        missing = [name_of_run for name_of_run, log in zip(short, logs) if name not in log]
        axes.set_title(f"{name} (not in {', '.join(missing)})" if missing else name, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    if names:
        curves = {drawable(column.name): Line2D([], [], **styles[j]) for j, column in enumerate(columns) if logs[j]}
        middle.legend(curves.values(), curves, fontsize=7, ncols=len(columns), loc="outside upper left")
    axes = below.subplots()
    axes.axis("off")
    keys = [key for key, value in columns[0].numbers.items() if isinstance(value, int | float)]
    cells = [[in_table(column.numbers.get(key)) for column in columns] for key in keys]
    axes.table(cells, rowLabels=keys, colLabels=short, loc="center")
    write_by(path, lambda file: figure.savefig(file, format="png", dpi=80))


def drawable(text: str) -> str:
    """A text that matplotlib draws as it stands: no $ that begins a formula, nothing that no font could show."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("$", r"\$")
