"""Features of images without labels: those of a convolutional network that was never trained.

Even random convolutions react to edges, colours and textures; Naeem et al. 2020 (2002.09797) measure with them where
no trained network knows the images. Not here: the classifier, which labels can train.
"""

import torch
from torch import Tensor, nn

from workshop.pictures import to_float

MAPS = (64, 64, 128)


class RandomFeatures(nn.Module):
    """Images N×C×H×W in [-1, 1] to N×256: how strongly each map of three layers reacts, on average over the image."""

    def __init__(self, channels: int) -> None:
        """He's initial weights, always the same ones."""
        super().__init__()
        self.layers = nn.ModuleList()
        generator = torch.Generator().manual_seed(0)
        for before, after, side in zip((channels, *MAPS), MAPS, (5, 3, 3)):
            layer = nn.Conv2d(before, after, side, stride=2, padding=side // 2, bias=False)
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            self.layers.append(layer)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        means = []
        for layer in self.layers:
            x = layer(x).relu()
            means.append(x.mean((2, 3)))
        return torch.cat(means, dim=1)


def random_features(images: Tensor, device: torch.device) -> Tensor:
    """Those of uint8 images N×C×H×W: N×256."""
    network = RandomFeatures(images.shape[1]).to(device)
    images = images.clone(memory_format=torch.contiguous_format)  # one layout for all, as for the classifier
    return torch.cat([network(to_float(part.to(device))) for part in images.split(500)])
