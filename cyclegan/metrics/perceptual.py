"""LPIPS, the learned perceptual distance of two images."""

import os
import re
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cyclegan.errors import UserError, WeightsError
from cyclegan.metrics.feature_network import MetricNetwork, require_rgb8, versioned
from cyclegan.metrics.pretrained import Pretrained

BACKBONES = {
    "alex": ("AlexNet", "AlexNet_Weights", 31),
    "vgg": ("VGG16", "VGG16_Weights", 16),
    "squeeze": ("SqueezeNet 1.1", "SqueezeNet1_1_Weights", 17),
}
"""Name, torchvision's class of weights, and the smallest side in pixels that the network can pool."""

WITHOUT = "perceptual=none, or --perceptual none, does without LPIPS"


class Lpips(MetricNetwork):
    """Learned perceptual distance (Zhang et al. 2018, version 0.1) by torchmetrics, without resizing.

    Args:
        weights: a file of torchvision's weights of the backbone; None: torch.hub's cache, filled by a download.
        net: the backbone.

    Raises:
        UserError: the backbone is unknown.
    """

    def __init__(
        self, weights: str | os.PathLike[str] | None = None, net: Literal["alex", "vgg", "squeeze"] = "alex"
    ) -> None:
        if net not in BACKBONES:
            raise UserError(f"net is {net!r}; LPIPS has {', '.join(BACKBONES)}")
        super().__init__()
        self._weights = weights
        self._net = net

    @property
    def protocol(self) -> dict[str, Any]:
        """The backbone and the libraries."""
        return {
            "network": f"LPIPS 0.1 ({self._net})",
            "library": versioned("torchmetrics"),
            "weights": f"{versioned('torchvision')}'s" if self._weights is None else Path(self._weights).name,
            "size": None,
            "filter": None,
            "antialias": None,
            "input_range": [-1, 1],
        }

    def distances(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance of each image of `a` from the image of `b` at its place.

        Args:
            a: uint8 (N, 3, H, W) in 0..255, on any device.
            b: uint8 (N, 3, H, W).

        Returns:
            float32 (N,) on the network's device, 0 for equal images. NaN for images that are too small for the
            backbone, below 31 pixels for AlexNet.

        Raises:
            WeightsError: the weights are unavailable.
            UserError: the images have another type or number of channels.
        """
        for images in (a, b):
            require_rgb8(images)
        network = self.load()
        if min(a.shape[-2:]) < BACKBONES[self._net][2]:
            return torch.full(a.shape[:1], torch.nan, device=self._device)
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            found: Tensor = network(*(images.to(self._device).float() / 127.5 - 1 for images in (a, b)))
        return found.flatten()

    def build(self) -> nn.Module:
        """Build torchmetrics' network around weights that were read safely."""
        import torchvision

        # The public metric of torchmetrics downloads and unpickles weights itself. Its private network takes weights
        # that were read safely; a test compares the two.
        try:
            from torchmetrics.functional.image.lpips import _LPIPS
        except ImportError as error:
            raise WeightsError(
                f"{versioned('torchmetrics')} lacks its private class _LPIPS ({error}); {WITHOUT}"
            ) from error

        name, weights, _ = BACKBONES[self._net]
        file = Pretrained(
            f"torchvision's {name}",
            getattr(torchvision.models, weights).DEFAULT.url,
            "callbacks.validation.perceptual.weights=PATH, or --perceptual-weights PATH",
            WITHOUT,
        )
        state = file.read(self._weights)
        network = _LPIPS(net=self._net, pnet_rand=True)
        # Its slices number the layers as torchvision's `features` do: slice2.3.weight is features.3.weight.
        names = {key: re.sub(r"^slice(s\.)?\d+", "features", key) for key in network.net.state_dict()}
        try:
            network.net.load_state_dict({key: state[name] for key, name in names.items() if name in state})
        except RuntimeError as error:
            raise file.mismatch(self._weights, error) from error
        return network
