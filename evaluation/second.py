"""A classifier of another shape, trained apart: by it nothing was chosen. Not here: the first one (features.py).

The defaults of the scripts are chosen by the FID on the first classifier's features, so that number is a little too
kind to them: whoever picks the best of many by a number picks its luck, too. `fid_second` of `evaluate.py --second` is
the FID on the features of this network. **No default was or will be chosen by it**: look at it when a choice is made.
"""

from torch import Tensor, nn


class SecondClassifier(nn.Module):
    """Images N×C×H×W in [-1, 1] to features (N×128), nothing, and logits (N×classes).

    Otherwise than the first one: max-pooling in place of strides, three convolutions in place of two, ELU in place of
    ReLU with BatchNorm, other first weights and other batches.
    """

    kind = "second classifier"

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(channels, 16, 3, padding=1), nn.ELU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ELU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ELU(), nn.AdaptiveMaxPool2d(3)),
            *(nn.Flatten(), nn.Linear(64 * 9, 128), nn.ELU()),
        )
        self.head = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.features(x)
        return features, features[:, :0], self.head(features)
