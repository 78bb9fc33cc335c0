"""Features of a small convolutional network with random weights, which need no download."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.metrics.feature_network import FeatureNetwork, signed, versioned

_LAYERS = ((64, 7), (64, 5), (64, 3))
"""Width and kernel of each layer; images are halved between layers. Receptive fields of about 7, 16 and 24 pixels."""


class RandomFeatures(FeatureNetwork):
    """384 means and standard deviations of the layers of a random network: features of colours and textures.

    Distances between them compare the checkpoints of one run with each other, and runs on the same images. They are no
    FID and no KID, and do not see the content of an image.

    Args:
        seed: of the weights, which are equal on every machine.
        size: height and width to resize to.
    """

    def __init__(self, seed: int = 0, size: int = 64) -> None:
        super().__init__()
        if size < 32:  # the maps of the last layer would be hardly larger than its kernel
            raise UserError(f"size is {size}; it must be 32 or more")
        self._seed = seed
        self._size = size

    @property
    def protocol(self) -> dict[str, Any]:
        """The network, and what its distances may be compared with."""
        return {
            "network": f"random convolutions (seed {self._seed})",
            "comparable": "checkpoints of one run with each other; no FID or KID",
            "library": versioned("torch"),
            "size": self._size,
            "filter": "bilinear",
            "antialias": True,
            "input_range": [-1, 1],
        }

    def build(self) -> nn.Module:
        """Draw the weights."""
        return _RandomNetwork(self._seed, self._size)


class _RandomNetwork(nn.Module):
    def __init__(self, seed: int, size: int) -> None:
        super().__init__()
        self.size = size
        rng = torch.Generator().manual_seed(seed)
        self.weights = nn.ParameterList()
        channels = 3
        for width, kernel in _LAYERS:
            weight = torch.randn(width, channels, kernel, kernel, generator=rng)
            self.weights.append(weight * (2 / (channels * kernel**2)) ** 0.5)  # He et al. 2015: keeps the scale
            channels = width

    def forward(self, images: Tensor) -> Tensor:
        maps = signed(images, self.size, antialias=True)
        found = []
        for depth, weight in enumerate(self.weights):
            maps = F.relu(F.conv2d(F.avg_pool2d(maps, 2) if depth else maps, weight))
            found += [maps.mean((2, 3)), maps.flatten(2).std(2)]
        return torch.cat(found, 1)
