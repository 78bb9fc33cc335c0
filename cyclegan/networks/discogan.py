"""The networks of DiscoGAN, for images of 64 × 64 and above.

Layers and their names are those of the authors' code (SKTBrain/DiscoGAN, discogan/model.py): kernel 4, no biases, batch
norm. The authors' images are in [0, 1]; here images are in [-1, 1], and the networks convert them.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from cyclegan.networks.checks import check_at_least, check_images


class DiscoGenerator(nn.Module):
    """Four convolutions of stride 2 and four transposed ones (Kim et al. 2017, arXiv:1703.05192, section 3.1).

    Args:
        in_channels: number of channels of the input images.
        out_channels: number of channels of the output images.
        width: number of channels of the first layer; they double at each layer, up to 8 times `width`.
        bottleneck: number of channels of a further pair of layers in the middle, whose feature map has one pixel for
            images of 64 × 64; 0 leaves them out. The authors' `extra_layers` have 100.
    """

    mixes_samples = True
    size_multiple = 16

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, bottleneck: int = 0) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, out_channels=out_channels, width=width)
        self.in_channels = in_channels
        self.minimum_size = 64 if bottleneck else 16
        widths = [width, 2 * width, 4 * width, 8 * width]
        layers = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        if bottleneck:
            layers += [
                nn.Conv2d(8 * width, bottleneck, 4, bias=False),
                nn.BatchNorm2d(bottleneck),
                nn.LeakyReLU(0.2, inplace=True),
                nn.ConvTranspose2d(bottleneck, 8 * width, 4, bias=False),
                nn.BatchNorm2d(8 * width),
                nn.ReLU(inplace=True),
            ]
        for before, after in pairwise(reversed(widths)):
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(width, out_channels, 4, stride=2, padding=1, bias=False), nn.Sigmoid()]
        self.main = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Translate images (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1]."""
        check_images(self, images)
        translated: Tensor = self.main((images + 1) / 2)
        return 2 * translated - 1


def disco_arguments(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of the `DiscoGenerator` with this state dict.

    Raises:
        LookupError: the layers have other names.
    """
    first, middle = weights["main.0.weight"], weights["main.11.weight"]
    bottleneck = middle.shape[0] if "main.26.weight" in weights else 0
    last = weights["main.26.weight" if bottleneck else "main.20.weight"]
    return {
        "in_channels": first.shape[1],
        "out_channels": last.shape[1],
        "width": first.shape[0],
        "bottleneck": bottleneck,
    }


class DiscoDiscriminator(nn.Module):
    """Four convolutions of stride 2, then one of kernel 4 to a logit: one for an image of 64 × 64.

    Args:
        in_channels: number of channels of the input images.
        width: number of channels of the first layer; they double at each layer, up to 8 times `width`.
    """

    mixes_samples = True
    size_multiple = 1
    minimum_size = 64

    def __init__(self, in_channels: int = 3, width: int = 64) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, width=width)
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, width, 4, stride=2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.conv4 = nn.Conv2d(4 * width, 8 * width, 4, stride=2, padding=1, bias=False)
        self.bn4 = nn.BatchNorm2d(8 * width)
        self.conv5 = nn.Conv2d(8 * width, 1, 4, bias=False)
        self.relu = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1, h, w) for images (N, in_channels, H, W) in [-1, 1]; 1 × 1 at 64 × 64."""
        return self.scores_and_features(images)[0]

    def scores_and_features(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and the activations (N, C, h, w) of the second, third and fourth layer."""
        check_images(self, images)
        first = self.relu(self.conv1((images + 1) / 2))
        second = self.relu(self.bn2(self.conv2(first)))
        third = self.relu(self.bn3(self.conv3(second)))
        fourth = self.relu(self.bn4(self.conv4(third)))
        return self.conv5(fourth), [second, third, fourth]
