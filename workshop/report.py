"""What an evaluation shows: tables, mean ± standard deviation, a picture. Not here: the numbers."""

from pathlib import Path

import numpy as np
from PIL import Image

from workshop.files import write_by
from workshop.reference import SCALARS

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
