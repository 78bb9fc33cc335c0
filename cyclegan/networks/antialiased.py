"""The networks of CUT: stride-1 convolutions, with blurred resampling between them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.networks.checks import check_at_least, check_images
from cyclegan.networks.norm import InstanceNorm
from cyclegan.networks.padding import ReflectionPad2d
from cyclegan.networks.resnet import ResnetBlock


class BlurDown(nn.Module):
    """Halve feature maps (N, channels, H, W) by a blur of stride 2 (Zhang 2019, arXiv:1904.11486).

    The blur is [1, 2, 1] / 4 along both sides, with reflection padding.
    """

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad = ReflectionPad2d(1)
        self.register_buffer("filt", blur([1.0, 2.0, 1.0], channels))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, channels, ⌈H/2⌉, ⌈W/2⌉)."""
        return F.conv2d(self.pad(features), self.filt, stride=2, groups=len(self.filt))


class BlurUp(nn.Module):
    """Double feature maps (N, channels, H, W): a transposed convolution of stride 2 with [1, 3, 3, 1] / 4.

    With replication padding, this is bilinear interpolation.
    """

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", 4 * blur([1.0, 3.0, 3.0, 1.0], channels))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, channels, 2H, 2W)."""
        padded = F.pad(features, (1, 1, 1, 1), mode="replicate")
        # The padding adds two pixels to each border, and the ends of the filter one more.
        return F.conv_transpose2d(padded, self.filt, stride=2, padding=3, groups=len(self.filt))


def blur(taps: list[float], channels: int) -> Tensor:
    """Return the weight (channels, 1, k, k) of a blur with these k taps along both sides, whose sum is 1."""
    filt = torch.outer(torch.tensor(taps), torch.tensor(taps))
    return (filt / filt.sum()).repeat(channels, 1, 1, 1)


class AntialiasedResnetGenerator(nn.Module):
    """`ResnetGenerator` whose resampling is antialiased, and which returns its features (arXiv:2007.15651).

    Layer names are those of CUT's published weights. The norm is instance norm.

    Args:
        in_channels: number of channels of the input images.
        out_channels: number of channels of the output images.
        width: number of channels of the first layer; the blocks have four times as many.
        blocks: number of residual blocks.

    Attributes:
        taps: layers whose outputs CUT compares: the padded image, the second and third convolution, and the first and
            fifth (or last) residual block. With 9 blocks they are 0, 4, 8, 12, 16, as in the authors' code.
    """

    mixes_samples = False
    size_multiple = 4  # the image is halved twice
    minimum_size = 8  # reflection padding in the blocks needs feature maps of at least 2 × 2

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, out_channels=out_channels, width=width, blocks=blocks)
        self.in_channels = in_channels
        self.taps = tuple(sorted({0, 4, 8, 12, 12 + min(4, blocks - 1)}))

        layers = [ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7), InstanceNorm(), nn.ReLU(inplace=True)]
        for channels in (width, 2 * width):
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, padding=1),
                InstanceNorm(),
                nn.ReLU(inplace=True),
                BlurDown(2 * channels),
            ]
        layers += [ResnetBlock(4 * width, "instance", dropout=0.0) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [
                BlurUp(channels),
                nn.Conv2d(channels, channels // 2, 3, padding=1),
                InstanceNorm(),
                nn.ReLU(inplace=True),
            ]
        layers += [ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Translate images (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1]."""
        check_images(self, images)
        translated: Tensor = self.model(images)
        return translated

    def features(self, images: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """Return the outputs (N, C, h, w) of the layers with these numbers, in order, and compute no later ones.

        Raises:
            UserError: there is no such layer.
        """
        check_images(self, images)
        if not 0 <= min(taps, default=-1) <= max(taps, default=-1) < len(self.model):
            raise UserError(f"taps are {list(taps)}; they are numbers of layers, from 0 to {len(self.model) - 1}")
        found, features = {}, images
        for number, layer in enumerate(self.model[: max(taps) + 1]):
            features = layer(features)
            found[number] = features
        return [found[tap] for tap in taps]


def antialiased_arguments(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of the `AntialiasedResnetGenerator` with this state dict.

    Raises:
        LookupError: the layers have other names.
    """
    first = weights["model.1.weight"]
    blocks = sum(name.endswith(".conv_block.1.weight") for name in weights)
    out_channels = weights[f"model.{21 + blocks}.weight"].shape[0]
    return {"in_channels": first.shape[1], "out_channels": out_channels, "width": first.shape[0], "blocks": blocks}


class AntialiasedPatchDiscriminator(nn.Module):
    """`PatchDiscriminator` whose downsampling is antialiased, with instance norm (arXiv:2007.15651).

    Layer names are those of CUT's published weights.

    Args:
        in_channels: number of channels of the input images.
        width: number of channels of the first layer; they double at each layer, up to 8 times `width`.
        layers: number of times that height and width are halved.
    """

    mixes_samples = False
    size_multiple = 1

    def __init__(self, in_channels: int = 3, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, width=width, layers=layers)
        self.in_channels = in_channels
        self.minimum_size = 3 * 2**layers  # the last two convolutions take one pixel each, and one is left

        model = [nn.Conv2d(in_channels, width, 4, padding=1), nn.LeakyReLU(0.2, inplace=True), BlurDown(width)]
        for layer in range(1, layers + 1):
            before, after = width * min(2 ** (layer - 1), 8), width * min(2**layer, 8)
            model += [nn.Conv2d(before, after, 4, padding=1), InstanceNorm(), nn.LeakyReLU(0.2, inplace=True)]
            if layer < layers:
                model.append(BlurDown(after))
        model.append(nn.Conv2d(width * min(2**layers, 8), 1, 4, padding=1))
        self.model = nn.Sequential(*model)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1, h, w) for images (N, in_channels, H, W) in [-1, 1]; 30 × 30 at 256 × 256."""
        check_images(self, images)
        scores: Tensor = self.model(images)
        return scores
