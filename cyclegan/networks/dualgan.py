"""The networks of DualGAN, with the layers of the authors' code (duxingren14/DualGAN, model.py and ops.py).

It is TensorFlow's: its padding "SAME" of convolutions of stride 2 is not symmetric, all layers have biases, and its
"batch norm" normalises each image by itself, then scales and shifts.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.networks.checks import check_at_least, check_images


class SameConv(nn.Conv2d):
    """Convolution of stride 2 that halves sides, rounded up; of an odd number of padding pixels, one more is last."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        # With a condition, the padding of even sides is a constant when a network is exported.
        rows, columns = (self.kernel_size[0] - (1 if side % 2 else 2) for side in images.shape[2:])
        return super().forward(F.pad(images, (columns // 2, -(-columns // 2), rows // 2, -(-rows // 2))))


class SameConvTranspose(nn.ConvTranspose2d):
    """Transposed convolution of stride 2 and an odd kernel, that doubles sides: the adjoint of `SameConv`."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=2, padding=(kernel - 3) // 2)

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(images, output_size)[..., :-1, :-1]


class ScaledInstanceNorm(nn.Module):
    """Instance norm with a scale and a shift of each channel. A feature map of one pixel becomes its shift."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, 1).normal_(1.0, 0.02))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each feature map of (N, C, H, W), at least in float32, then scale and shift it."""
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        variance, mean = torch.var_mean(wide, (2, 3), correction=0, keepdim=True)
        normalised = (wide - mean) * torch.rsqrt(variance + self.eps)
        return (normalised * self.weight + self.bias).to(features.dtype)


class DualGenerator(nn.Module):
    """U-Net down to one pixel and back (Yi et al. 2017, arXiv:1704.02510, section 3.3).

    The innermost pixel is normalised too, which makes it the same for all images: they differ by the skip connections.

    Args:
        in_channels: number of channels of the input images.
        out_channels: number of channels of the output images.
        width: number of channels of the first layer; they double at each level, up to 8 times `width`.
        downs: number of times that height and width are halved, 2 or more; 8 for images of 256 × 256.
    """

    mixes_samples = False

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, downs: int = 8) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, out_channels=out_channels, width=width)
        check_at_least(2, downs=downs)
        self.in_channels = in_channels
        self.size_multiple = self.minimum_size = 2**downs
        widths = [width * min(2**level, 8) for level in range(downs)]
        self.first = SameConv(in_channels, width, 5)
        self.downs = nn.ModuleList(
            nn.Sequential(nn.LeakyReLU(0.2), SameConv(before, after, 3), ScaledInstanceNorm(after))
            for before, after in pairwise(widths)
        )
        inner = [widths[-1], *(2 * after for after in widths[-2:0:-1])]
        self.ups = nn.ModuleList(
            nn.Sequential(nn.ReLU(), SameConvTranspose(before, after, 3), ScaledInstanceNorm(after))
            for before, after in zip(inner, widths[-2::-1], strict=True)
        )
        self.last = nn.Sequential(nn.ReLU(), SameConvTranspose(2 * width, out_channels, 5), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        """Translate images (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1]."""
        check_images(self, images)
        levels = [self.first(images)]
        for down in self.downs:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for up in self.ups:
            x = torch.cat([up(x), levels.pop()], dim=1)
        translated: Tensor = self.last(x)
        return translated


def dual_arguments(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of the `DualGenerator` with this state dict.

    Raises:
        LookupError: the layers have other names.
    """
    first, last = weights["first.weight"], weights["last.1.weight"]
    downs = sum(value.dim() == 4 for value in weights.values()) // 2
    return {"in_channels": first.shape[1], "out_channels": last.shape[1], "width": first.shape[0], "downs": downs}


class DualDiscriminator(nn.Module):
    """Convolutions of stride 2, then a linear layer to one score of the image, or a convolution to a map of scores.

    Args:
        in_channels: number of channels of the input images.
        width: number of channels of the first layer; they double at each layer, up to 8 times `width`.
        layers: number of convolutions of stride 2 before the scores.
        image_size: height and width of the images, which a linear layer fixes; None ends with a convolution instead.
    """

    mixes_samples = False
    size_multiple = 1

    def __init__(self, in_channels: int = 3, width: int = 64, layers: int = 5, image_size: int | None = 256) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, width=width, layers=layers)
        smallest = 2**layers + 1  # 2 × 2 before the scores: a norm makes a single pixel its shift
        self.in_channels = in_channels
        self.image_size = image_size
        self.minimum_size = smallest if image_size is None else image_size
        check_at_least(smallest, image_size=self.minimum_size)
        widths = [width * min(2**level, 8) for level in range(layers)]
        model: list[nn.Module] = [SameConv(in_channels, width, 5), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            model += [SameConv(before, after, 3), ScaledInstanceNorm(after), nn.LeakyReLU(0.2)]
        if image_size is None:
            model.append(SameConv(widths[-1], 1, 3))
        else:
            side = -(-image_size // 2**layers)
            model += [nn.Flatten(), nn.Linear(widths[-1] * side**2, 1)]
        self.model = nn.Sequential(*model)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N, 1), or (N, 1, h, w) without `image_size`, for images (N, in_channels, H, W) in [-1, 1]."""
        check_images(self, images)
        if self.image_size is not None and images.shape[2:] != (self.image_size, self.image_size):
            raise UserError(
                f"this discriminator takes images of {self.image_size} × {self.image_size}; these are "
                f"{images.shape[2]} × {images.shape[3]}. Set model.discriminator.image_size, or null for any size"
            )
        scores: Tensor = self.model(images)
        return scores
