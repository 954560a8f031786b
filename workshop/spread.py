"""How far images differ from each other: training images that are too few or all alike, a G that makes one image.

Not here: how good images are (metrics).
"""

import torch
from torch import Tensor

from workshop.terminal import say

ALIKE = 0.2  # of the real images' spread. Good runs of five scripts: 0.35 or more, later than step 250 (docs/health.md)
FROM_STEP = 500  # earlier the samples of a good run may still be alike
IN_A_ROW = 3  # grids; a G may make one image for a while


def spread(images: Tensor) -> float:
    """Standard deviation over N×C×H×W images, the mean over their pixels; 0 for one image."""
    return images.float().std(0, correction=0).mean().item()


class Spread:
    """Compares the spread of the samples with that of the real images, and says once if G makes but one image."""

    def __init__(self, real: Tensor) -> None:
        """real: all training images, uint8 N×C×H×W."""
        self.count = len(real)
        few = max(2, min(1000, 2**25 // real[0].numel()))  # at most 128 MB as floats
        chosen = torch.linspace(0, len(real) - 1, min(len(real), few), dtype=torch.float64).long()
        self.real = spread(real[chosen.to(real.device)])
        self.alike, self.said = 0, False  # grids in a row; whether it was said

    def remarks(self, batch_size: int) -> list[str]:
        """What the one who starts a training should know of its images, a line each."""
        if self.real == 0:
            which = (
                f"all {self.count} training images are the same" if self.count > 1 else "there is one training image"
            )
            return [f"{which}: there is nothing to learn but this one image, whatever z"]
        if self.count < batch_size:
            few = f"{self.count} training images, fewer than a batch of {batch_size}"
            return [f"{few}: D learns them by heart, expect copies of them or noise; some thousands are enough"]
        return []

    def look(self, samples: Tensor, step: int, last: bool) -> None:
        """samples: uint8 N×C×H×W of different z, made after `step` steps; last: no more will come."""
        if self.real == 0 or self.said:
            return
        ratio = spread(samples) / self.real
        self.alike = self.alike + 1 if ratio < ALIKE and step >= FROM_STEP else 0
        if self.alike >= IN_A_ROW or (self.alike and last):
            self.said = True
            say(
                f"G makes nearly the same image for every z (step {step}: its samples differ {ratio:.0%} as much as the"
                " real images): it has collapsed. Try another --seed, or lower learning rates, that of D first"
            )
