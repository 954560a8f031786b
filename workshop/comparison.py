"""Runs side by side: what differs between them, their samples and curves in one picture. Not here: their numbers."""

import csv
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from workshop.curves import smooth
from workshop.errors import UserError
from workshop.files import write_by
from workshop.report import in_table
from workshop.settings import fixed_part


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
