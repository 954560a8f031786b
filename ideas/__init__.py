"""One small script per idea, on a problem whose answer is known: seconds to run, a picture, a table beside the truth.

    gan        the game: D* = p/(p + q), G's two losses, why the players circle
    wgan       how far apart? Asked of a judge, a critic, and a critic that is blind
    wgan_gp    a critic kept Lipschitz by clipping, and by a penalty
    fgan       every divergence in one table: bounds, optima, what a G that is too simple fits
    began      an autoencoder as judge, and the controller that balances the players
    plane      all games on one ring of eight Gaussians, side by side

python -m ideas.gan writes out/ideas/gan.png. Each uses the lesson's own functions (losses, penalty, clip, table,
controller). Here: the style that all pictures share, their flags, the table, the file.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from PIL import Image

from training.files import UserError, make_folder, require, write_by

# Okabe and Ito's colours: the colour-blind tell them apart. The same thing has the same colour in all pictures
REAL, FAKE = "#0072B2", "#D55E00"  # data, p: blue; generated, q: orange-red
TRUTH = "black"  # what is known in closed form: drawn dashed
GREEN, PURPLE, YELLOW, SKY, GREY = "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "0.6"  # for all else
STYLE = {"font.size": 13, "axes.titlesize": 13, "legend.fontsize": 11, "legend.frameon": False, "lines.linewidth": 2.5}
STYLE |= {"axes.spines.top": False, "axes.spines.right": False, "image.cmap": "cividis"}
STYLE |= {"figure.titlesize": 16, "figure.titleweight": "bold"}
styled = matplotlib.rc_context(STYLE)  # @styled over a function that draws; needs no pyplot


@dataclass(kw_only=True)
class Options:
    """Where the picture goes, and the seed."""

    seed: int = 0
    """Of the weights and the samples."""
    out: Path = Path("out/ideas")
    """Folder of the picture."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, "--seed", self.seed, "0 or more, below 2⁶³")


def new_figure(message: str, width: float = 11, height: float = 4.5) -> Figure:
    """An empty figure of so many inches; its title says in a few words what it shows. Call it where @styled holds."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(message)
    return figure


def print_table(rows: list[tuple[str, object, object]]) -> None:
    """What, what is true, what was measured; numbers with three digits."""
    print("| what | true | measured |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row) + " |")


def save(figure: Figure, path: Path) -> None:
    """The picture in 256 colours: a third of the bytes."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=140)
    picture = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    make_folder(path.parent)
    write_by(path, lambda file: picture.save(file, "PNG", optimize=True))
    print(path)


def command(main: Callable[[], None]) -> Callable[[], None]:
    """main, but what the user can put right ends it with one line."""

    @functools.wraps(main)
    def ends_in_one_line() -> None:
        torch.set_num_threads(1)  # the networks here are too small for more
        try:
            main()
        except UserError as error:
            sys.exit(f"{Path(inspect.getfile(main)).name}: {error}")

    return ends_in_one_line
