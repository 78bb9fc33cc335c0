"""The generator of pix2pix: an encoder and a decoder with skip connections."""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from cyclegan.networks.checks import check_at_least, check_images
from cyclegan.networks.norm import Norm, bias_before, norm_layer


class UnetGenerator(nn.Module):
    """U-Net from the image down to one pixel and back (Isola et al. 2017, arXiv:1611.07004, section 6.1.1).

    Layer names are those of the published pix2pix weights. Its network for 256 × 256 images has 8 downs, that
    for 128 × 128 has 7; both use batch norm.

    Args:
        in_channels: number of channels of the input images.
        out_channels: number of channels of the output images.
        width: number of channels of the first layer; they double at each level, up to 8 times `width`.
        downs: number of times that height and width are halved, 2 or more.
        norm: normalisation after every convolution but the first, the innermost and the last.
        dropout: probability in the decoder levels whose inner and outer number of channels is the maximum, except the
            innermost; 0 leaves the layers out.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        downs: int = 8,
        norm: Norm = "instance",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, out_channels=out_channels, width=width)
        check_at_least(2, downs=downs)
        self.in_channels = in_channels
        self.mixes_samples = norm == "batch"
        self.size_multiple = self.minimum_size = 2**downs

        widths = [width * min(2**level, 8) for level in range(downs)]
        block = SkipBlock(widths[-2], widths[-1], norm)
        for outer, inner in reversed(list(pairwise(widths[:-1]))):
            block = SkipBlock(outer, inner, norm, block, dropout if outer == inner else 0.0)
        outermost = nn.Sequential(
            nn.Conv2d(in_channels, width, 4, stride=2, padding=1, bias=bias_before(norm)),
            block,
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(2 * width, out_channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        # In the published weights the network and each level, the outermost too, have a layer `model`.
        self.model = nn.Sequential(OrderedDict(model=outermost))

    def forward(self, images: Tensor) -> Tensor:
        """Translate images (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1]."""
        check_images(self, images)
        translated: Tensor = self.model(images)
        return translated


def unet_arguments(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of the `UnetGenerator` with this state dict.

    Dropout has no weights: its probability is the default.

    Raises:
        LookupError: the layers have other names.
    """
    first, last = weights["model.model.0.weight"], weights["model.model.3.weight"]
    return {
        "in_channels": first.shape[1],
        "out_channels": last.shape[1],
        "width": first.shape[0],
        "downs": sum(value.dim() == 4 for value in weights.values()) // 2,
        "norm": "batch"
        if any(value.dim() == 1 and name.endswith(".weight") for name, value in weights.items())
        else "instance",
    }


class SkipBlock(nn.Module):
    """One level of the U-Net: a convolution down, the inner level, a convolution up, and the skip connection.

    Args:
        outer: number of channels of the input and of the output of the convolution up.
        inner: number of channels of the inner feature maps, at half the size.
        norm: normalisation after both convolutions; the innermost level has none after the convolution down.
        within: the inner level; None at the innermost.
        dropout: probability after the convolution up; 0 leaves the layer out.
    """

    def __init__(
        self, outer: int, inner: int, norm: Norm, within: "SkipBlock | None" = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        bias = bias_before(norm)
        down = [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)]
        middle = [] if within is None else [norm_layer(norm, inner), within]
        widened = inner if within is None else 2 * inner  # a level returns its input and its output
        up = [
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(widened, outer, 4, stride=2, padding=1, bias=bias),
            norm_layer(norm, outer),
        ]
        self.model = nn.Sequential(*down, *middle, *up, *([nn.Dropout(dropout)] if dropout else []))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 2 * outer, H, W) for (N, outer, H, W): the activated input and the output of this level."""
        inside = self.model(x)
        # The first layer has activated x in place; the ReLU that follows gives the same result as for x itself.
        return torch.cat([x, inside], dim=1)
