"""TensorBoard: a run's values, grids and hyperparameters, written beside its log. Not here: when."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from workshop.errors import UserError, first_line


class Board:
    """Event files of one run. Its constructor imports TensorBoard, which takes seconds: only when asked for."""

    def __init__(self, folder: Path, hyperparameters: dict, step: int) -> None:
        """step: the last one that is done. What an earlier, longer part of the run wrote after it is hidden."""
        from torch.utils.tensorboard import SummaryWriter  # here, for its import takes seconds

        self.folder = folder
        self.hyperparameters = {
            name: value if isinstance(value, bool | int | float) else str(value).encode("utf-8", "replace").decode()
            for name, value in hyperparameters.items()
        }
        with self.told_in_one_line():
            self.writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    @contextlib.contextmanager
    def told_in_one_line(self) -> Iterator[None]:
        """Within: what TensorBoard can't write, such as on a full disk, is a UserError."""
        try:
            yield
        except (OSError, ValueError) as error:
            raise UserError(f"--tensorboard: {self.folder} can't be written: {first_line(error)}") from error

    def values(self, row: dict[str, float], step: int) -> None:
        """The values of a row of the log; loss_D and loss_G come into one group."""
        with self.told_in_one_line():
            for name, value in row.items():
                self.writer.add_scalar(name.replace("_", "/", 1), value, step)

    def picture(self, picture: Image.Image, step: int) -> None:
        """A grid of samples."""
        with self.told_in_one_line():
            self.writer.add_image("samples", np.asarray(picture), step, dataformats="HWC")

    def end(self, row: dict[str, float]) -> None:
        """At the end of a run: its hyperparameters with its last numbers."""
        numbers = {f"end/{name}": value for name, value in row.items()}
        with self.told_in_one_line():
            self.writer.add_hparams(self.hyperparameters, numbers, run_name=".")

    def close(self) -> None:
        """Write what is still in memory."""
        with self.told_in_one_line():
            self.writer.close()
