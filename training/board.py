"""TensorBoard (--tensorboard): its event files beside a run's own. Importing this takes seconds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from training.files import UserError, first_line


class Board:
    """TensorBoard's event files of one run: its values, grids and hyperparameters."""

    def __init__(self, folder: Path, hyperparameters: dict, step: int) -> None:
        """step: the last one that is done. What an earlier, longer part of the run wrote after it is hidden."""
        self.folder = folder
        self.hyperparameters = {
            name: value if isinstance(value, bool | int | float) else str(value).encode("utf-8", "replace").decode()
            for name, value in hyperparameters.items()
        }
        self.writer = self.told(SummaryWriter, str(folder), purge_step=step + 1 if step else None)

    def told(self, write: Callable, *arguments, **keywords):
        """Call `write`. What TensorBoard can't write, such as on a full disk, is a UserError."""
        try:
            return write(*arguments, **keywords)
        except (OSError, ValueError) as error:
            raise UserError(f"--tensorboard: {self.folder} can't be written: {first_line(error)}") from error

    def values(self, row: dict[str, float], step: int) -> None:
        """The values of a row of the log; loss_D and loss_G come into one group."""
        for name, value in row.items():
            self.told(self.writer.add_scalar, name.replace("_", "/", 1), value, step)

    def picture(self, name: str, picture: Image.Image, step: int) -> None:
        """A grid of samples, or another picture of the run."""
        self.told(self.writer.add_image, name, np.asarray(picture), step, dataformats="HWC")

    def end(self, row: dict[str, float]) -> None:
        """At the end of a run: its hyperparameters with its last numbers."""
        numbers = {f"end/{name}": value for name, value in row.items()}
        self.told(self.writer.add_hparams, self.hyperparameters, numbers, run_name=".")

    def close(self) -> None:
        """Write what is still in memory."""
        self.told(self.writer.close)
