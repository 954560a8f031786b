"""The values of a run: on the device during an interval, then a row of log.csv, curves.png.

Not here: when a row or a picture is due (record.py).
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.files import Diverged, UserError, append_text, write_by, write_file
from training.processes import mean_over_processes, rank
from training.terminal import say


def save_curves(steps: Sequence[int], columns: dict[str, Sequence[float]], path: Path, points: dict) -> None:
    """A picture of the log: pale as logged, dark smoothed over 5 % of the run.

    Values whose names agree up to the first underscore, such as loss_D and loss_G, share a panel. One whose name ends
    in _target is a reference for the others there: a dashed line.
    points: curves of their own steps, such as fid: name → (steps, values); each has a panel, with a logarithmic scale.
    """
    from matplotlib.figure import Figure  # here, for its import takes half a second

    panels: dict[str, list[str]] = {}
    for name in columns:
        panels.setdefault(name.split("_")[0], []).append(name)
    points = {name: point for name, point in points.items() if point[0]}
    count = len(panels) + len(points)
    rows = math.ceil(count / 2)
    height = 0.4 + 2.6 * rows
    figure = Figure(figsize=(11, height))
    # Margins in inches: a layout that matplotlib finds by itself takes as long as the drawing
    figure.subplots_adjust(0.07, 0.5 / height, 0.99, 1 - 0.5 / height, wspace=0.17, hspace=0.3)
    title = f"{path.parent.name}: pale, each row of log.csv; dark, their mean over 5 % of the run"
    figure.suptitle(title, y=1 - 0.15 / height, va="top", fontsize=11)
    for i, quantity in enumerate([*panels, *points]):
        axes = figure.add_subplot(rows, min(2, count), i + 1)
        axes.set_xlabel("step (updates of G)", fontsize=8)
        axes.set_ylabel(f"{quantity} of the samples ↓" if quantity in points else quantity, fontsize=9)
        axes.tick_params(labelsize=8, which="both")
        axes.grid(alpha=0.3, which="both")
        if quantity in points:
            axes.semilogy(*points[quantity], "C3.-")
        else:
            draw_panel(axes, steps, {name: columns[name] for name in panels[quantity]})
    write_by(path, lambda file: figure.savefig(file, format="png", dpi=100))


def draw_panel(axes, steps: Sequence[int], columns: dict[str, Sequence[float]]) -> None:
    """Lines of one panel, with a legend if there are several."""
    for i, (name, values) in enumerate(columns.items()):
        if name.endswith("_target"):
            axes.plot(steps, values, "--", color="0.3", linewidth=1, label=name)
        else:
            axes.plot(steps, values, color=f"C{i}", alpha=0.3, linewidth=0.8)
            axes.plot(steps, smooth(values, len(steps) // 20), color=f"C{i}", label=name)
    if len(columns) > 1:
        axes.legend(fontsize=8)


def smooth(values: Sequence[float], half_width: int) -> np.ndarray:
    """Mean over a centred window of 2·half_width + 1 values, narrower at both ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    half = np.minimum(half_width, np.minimum(index, len(values) - 1 - index))
    return (total[index + half + 1] - total[index - half]) / (2 * half + 1)


class Log:
    """Values noted at every step; a row is their mean over `every` steps. Only process 0 writes files."""

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every
        self.names: list[str] = []
        self.rows: list[list[float]] = []  # step, then a mean for each name
        self.whole = 0  # rows whose interval was complete; only the last one may not be
        self.pending: list[tuple] = []  # values of the last steps, still on the device
        self.interval = torch.empty(0, 0, dtype=torch.float64)  # steps since the last row × names
        self.drawn = 0.0  # seconds of training at the last drawing
        self.written = 0  # rows that are in log.csv
        self.remarked = False
        self.points: dict[str, tuple[list[int], list[float]]] = {}  # drawn beside them: steps and values by name

    def note(self, values: dict[str, Tensor | float]) -> None:
        """Single numbers of this step. Tensors stay on the device: they are fetched together, once per interval.
        They are copied, so that they may be changed in place afterwards.

        Raises UserError if the names are not those of the steps before, or a value is no single number.
        """
        if list(values) != self.names and (self.names or self.rows):
            raise UserError(
                f"run.log: {', '.join(values)} after {', '.join(self.names)}: once per step, always the same names;"
                " start a changed script anew, without --resume"
            )
        for name, value in values.items():
            if isinstance(value, Tensor) and value.dim() > 0:
                raise UserError(f"run.log: {name} has shape {tuple(value.shape)}: give one number, such as its mean()")
        self.names = list(values)
        self.pending.append(tuple(v.detach().clone() if isinstance(v, Tensor) else v for v in values.values()))

    def fetch(self, step: int) -> None:
        """Move the noted values to the CPU, averaged over processes. Raises Diverged if one is not finite."""
        if not self.pending:
            return
        columns = [torch.stack([torch.as_tensor(v) for v in column]).cpu().double() for column in zip(*self.pending)]
        self.pending.clear()
        values = mean_over_processes(torch.stack(columns, dim=1))
        for row, column in (~values.isfinite()).nonzero().tolist()[:1]:
            raise Diverged(f"{self.names[column]} is {values[row, column]} at step {step - len(values) + 1 + row}")
        self.interval = torch.cat([self.interval.view(-1, len(self.names)), values])

    def write_row(self, step: int) -> dict[str, float]:
        """The means since the row before become a row of log.csv, and are given back by name."""
        self.fetch(step)
        means = self.interval.mean(0).tolist()
        self.rows.append([step, *means])
        self.remark_tiny()
        if step % self.every == 0:  # else it is the last step: if ever resumed, the row is not whole
            self.interval = self.interval[:0]
            self.whole = len(self.rows)
        if rank() == 0:
            self.write_file()
        return dict(zip(self.names, means))

    def remark_tiny(self) -> None:
        """Say once if a loss is so small that nothing can be learned: optimizers add 1e-8 to the size of a
        gradient before they divide by it, and below 1e-38 there is only 0."""
        for name, size in zip(self.names, self.interval.abs().amax(0).tolist() if self.names else []):
            if name.startswith("loss") and size < 1e-12 and not self.remarked:
                self.remarked = True
                say(f"{name} was smaller than 1e-12 at every step since the last row: nothing can be learned from it")

    def write_file(self) -> None:
        """Add the rows that log.csv lacks. Where that is not allowed now, they are added later: on Windows Excel lets
        nobody else write into a file that it shows."""
        path, new = self.folder / "log.csv", self.rows[self.written :]
        try:
            if self.written:
                append_text(path, as_csv(new))
            else:
                write_file(path, as_csv([["step", *self.names], *new]).encode())
            self.written = len(self.rows)
        except UserError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            if len(new) == 1:
                say(f"{error}; rows are kept and added later: close it where it is open")

    def latest(self) -> dict[str, float]:
        """The last means, by name; also those of a row that was not whole and is restored."""
        means = self.interval.mean(0).tolist() if len(self.interval) else self.rows[-1][1:] if self.rows else []
        return dict(zip(self.names, means))

    def start_file(self) -> None:
        """Write log.csv anew with the rows so far: on resuming, rows after the checkpoint go."""
        self.written = 0
        if self.rows and rank() == 0:
            self.write_file()

    def draw(self, seconds: float = 0.0) -> None:
        """curves.png, of the rows so far; `seconds` is the time now, to know next time how old the picture is."""
        if self.names and len(self.rows) > 1 and rank() == 0:
            columns = dict(zip(["step", *self.names], zip(*self.rows)))
            save_curves(columns.pop("step"), columns, self.folder / "curves.png", self.points)
        self.drawn = seconds

    def state(self) -> dict:
        """What a checkpoint keeps of the log."""
        return {"names": self.names, "rows": self.rows[: self.whole], "interval": self.interval}

    def restore(self, state: dict) -> None:
        """Go on from what state() gave. Raises KeyError, TypeError or the like if it is something else."""
        self.names, self.interval, self.rows = state["names"], state["interval"], list(state["rows"])
        self.whole = len(self.rows)


def columns(state: dict, step: int) -> dict[str, list[float]]:
    """The log up to `step`, of what state() gave: numbers by the names of columns, `step` first."""
    latest = [[step, *state["interval"].mean(0).tolist()]] if len(state["interval"]) else []
    return dict(zip(["step", *state["names"]], map(list, zip(*state["rows"], *latest))))


def as_csv(rows: list[list]) -> str:
    """Lines of a CSV file, of names and numbers."""
    return "".join(f"{','.join(map(str, row))}\r\n" for row in rows)
