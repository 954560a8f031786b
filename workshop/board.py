"""TensorBoard: a run's values, grids and hyperparameters, written beside its log. Not here: when."""

from pathlib import Path

import numpy as np
from PIL import Image

from workshop.errors import UserError


class Board:
    """Event files of one run. Its constructor imports TensorBoard, which takes seconds: only when asked for."""

    def __init__(self, folder: Path, hyperparameters: dict, step: int) -> None:
        """step: the last one that is done. What an earlier, longer part of the run wrote after it is hidden."""
        from torch.utils.tensorboard import SummaryWriter  # here, for its import takes seconds

        self.hyperparameters = {
            name: value if isinstance(value, bool | int | float) else str(value)
            for name, value in hyperparameters.items()
        }
        try:
            self.writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        except OSError as error:
            raise UserError(f"{folder} can't be written: {error.strerror}") from error

    def values(self, row: dict[str, float], step: int) -> None:
        for name, value in row.items():
            self.writer.add_scalar(name.replace("_", "/", 1), value, step)  # loss_D and loss_G in one group

    def picture(self, picture: Image.Image, step: int) -> None:
        self.writer.add_image("samples", np.asarray(picture), step, dataformats="HWC")

    def close(self, row: dict[str, float]) -> None:
        """At the end of a run: the row of its hyperparameters with its last numbers."""
        numbers = {f"end/{name}": value for name, value in row.items()}
        self.writer.add_hparams(self.hyperparameters, numbers, run_name=".")
        self.writer.close()
