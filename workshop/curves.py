"""curves.png: the logged values over the steps. Not here: when it is drawn (log.py)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workshop.files import write_by


def save_curves(steps: Sequence[int], columns: dict[str, Sequence[float]], path: Path) -> None:
    """A picture of the log: thin as logged, thick smoothed over 5 % of the run.

    Values whose names agree up to the first underscore, such as loss_D and loss_G, share a panel.
    """
    from matplotlib.figure import Figure  # here, for its import takes half a second

    panels: dict[str, list[str]] = {}
    for name in columns:
        panels.setdefault(name.split("_")[0], []).append(name)
    rows = math.ceil(len(panels) / 2)
    height = 2.6 * rows
    figure = Figure(figsize=(11, height))
    # Margins in inches: a layout that matplotlib finds by itself takes as long as the drawing
    figure.subplots_adjust(0.06, 0.5 / height, 0.99, 1 - 0.3 / height, wspace=0.14, hspace=0.45)
    for i, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, min(2, len(panels)), i + 1)
        for j, name in enumerate(names):
            axes.plot(steps, columns[name], color=f"C{j}", alpha=0.3, linewidth=0.8)
            axes.plot(steps, smooth(columns[name], len(steps) // 20), color=f"C{j}", label=name)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("generator updates", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend(fontsize=8)
    write_by(path, lambda file: figure.savefig(file, format="png", dpi=100))


def smooth(values: Sequence[float], half_width: int) -> np.ndarray:
    """Mean over a centred window of 2·half_width + 1 values, narrower at both ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    half = np.minimum(half_width, np.minimum(index, len(values) - 1 - index))
    return (total[index + half + 1] - total[index - half]) / (2 * half + 1)
