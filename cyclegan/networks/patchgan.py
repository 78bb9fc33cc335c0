"""Discriminators that score every patch or every pixel of an image."""

from torch import Tensor, nn

from cyclegan.networks.checks import check_at_least, check_images
from cyclegan.networks.norm import Norm, bias_before, norm_layer
from cyclegan.networks.spectral import normalise_convolutions


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017, arXiv:1611.07004, section 6.1.2): a score for each patch of the image.

    Patches are 70 × 70 with 3 layers, 34 × 34 with 2, 16 × 16 with 1. Layer names are those of the authors' code.

    Args:
        in_channels: number of channels of the input images.
        width: number of channels of the first layer; they double at each layer, up to 8 times `width`.
        layers: number of convolutions of stride 2; two of stride 1 follow.
        norm: normalisation after every convolution but the first and the last.
        spectral_norm: spectral normalisation of all convolutions. Instance and batch norm cancel it in the convolutions
            before them, so it belongs to `norm="none"`.
    """

    size_multiple = 1

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 64,
        layers: int = 3,
        norm: Norm = "instance",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, width=width, layers=layers)
        self.in_channels = in_channels
        self.mixes_samples = norm == "batch"
        self.minimum_size = 3 * 2**layers  # each convolution of stride 1 takes one pixel, and one is left

        model = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for layer in range(1, layers + 1):
            before, after = width * min(2 ** (layer - 1), 8), width * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            model += [
                nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=bias_before(norm)),
                norm_layer(norm, after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        model.append(nn.Conv2d(width * min(2**layers, 8), 1, 4, padding=1))
        self.model = nn.Sequential(*model)
        if spectral_norm:
            normalise_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1, h, w) for images (N, in_channels, H, W) in [-1, 1]; 30 × 30 at 256 × 256."""
        check_images(self, images)
        scores: Tensor = self.model(images)
        return scores


class PixelDiscriminator(nn.Module):
    """PixelGAN (Isola et al. 2017, section 4.4): 1 × 1 convolutions, so that it scores only colours.

    Layer names are those of the authors' code.

    Args:
        in_channels: number of channels of the input images.
        width: number of channels of the first layer; the second has twice as many.
        norm: normalisation after the second convolution.
        spectral_norm: as in `PatchDiscriminator`.
    """

    size_multiple = 1
    minimum_size = 2  # a norm turns a single pixel into 0

    def __init__(
        self, in_channels: int = 3, width: int = 64, norm: Norm = "instance", spectral_norm: bool = False
    ) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, width=width)
        self.in_channels = in_channels
        self.mixes_samples = norm == "batch"
        bias = bias_before(norm)
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, width, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            norm_layer(norm, 2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            # No norm follows, but with batch norm the authors' weights have no bias here either.
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )
        if spectral_norm:
            normalise_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1, H, W) for images (N, in_channels, H, W) in [-1, 1]."""
        check_images(self, images)
        scores: Tensor = self.net(images)
        return scores
