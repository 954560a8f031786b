"""The values of a run: on the device during an interval, then a row of log.csv and curves.png."""

import csv
import io
from pathlib import Path

import torch
from torch import Tensor

from workshop.curves import save_curves
from workshop.errors import Diverged, UserError
from workshop.files import append_text, write_file
from workshop.processes import mean_over_processes, rank
from workshop.terminal import say


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
        self.behind = False  # whether rows are missing in log.csv

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
        columns = [
            torch.stack(column).cpu()
            if all(isinstance(v, Tensor) for v in column)
            else torch.tensor(list(map(float, column)))
            for column in zip(*self.pending)
        ]
        self.pending.clear()
        values = mean_over_processes(torch.stack([column.double() for column in columns], dim=1))
        for row, column in (~values.isfinite()).nonzero().tolist()[:1]:
            raise Diverged(f"{self.names[column]} is {values[row, column]} at step {step - len(values) + 1 + row}")
        self.interval = torch.cat([self.interval.view(-1, len(self.names)), values])

    def write_row(self, step: int) -> dict[str, float]:
        """The means since the row before become a row of log.csv, and are given back by name."""
        self.fetch(step)
        means = self.interval.mean(0).tolist()
        self.rows.append([step, *means])
        if step % self.every == 0:  # else it is the last step: if ever resumed, the row is not whole
            self.interval = self.interval[:0]
            self.whole = len(self.rows)
        if rank() == 0:
            self.write_file()
        return dict(zip(self.names, means))

    def write_file(self) -> None:
        """Add the last row to log.csv. Where that is not allowed now, the row is added with a later one: on Windows
        Excel lets nobody else write into a file that it shows."""
        try:
            if len(self.rows) == 1 or self.behind:
                self.start_file()
            else:
                append_text(self.folder / "log.csv", as_csv(self.rows[-1:]))
            self.behind = False
        except UserError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            if not self.behind:
                say(f"{error}; rows are kept and added later: close it where it is open")
            self.behind = True

    def latest(self) -> dict[str, float]:
        """The last means, by name; also those of a row that was not whole and is restored."""
        means = self.interval.mean(0).tolist() if len(self.interval) else self.rows[-1][1:] if self.rows else []
        return dict(zip(self.names, means))

    def start_file(self) -> None:
        """Write log.csv anew with the rows so far: on resuming, rows after the checkpoint go."""
        if self.rows and rank() == 0:
            write_file(self.folder / "log.csv", as_csv([["step", *self.names], *self.rows]).encode())

    def draw(self, seconds: float = 0.0) -> None:
        """curves.png, of the rows so far; `seconds` is the time now, to know next time how old the picture is."""
        if self.names and len(self.rows) > 1 and rank() == 0:
            columns = dict(zip(["step", *self.names], zip(*self.rows)))
            save_curves(columns.pop("step"), columns, self.folder / "curves.png")
        self.drawn = seconds

    def state(self) -> dict:
        """What a checkpoint keeps of the log."""
        return {"names": self.names, "rows": self.rows[: self.whole], "interval": self.interval}

    def restore(self, state: dict) -> None:
        """Go on from what state() gave. Raises KeyError, TypeError or the like if it is something else."""
        self.names, self.interval, self.rows = state["names"], state["interval"], list(state["rows"])
        self.whole = len(self.rows)


def as_csv(rows: list[list]) -> str:
    """Lines of a CSV file."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
