"""A discriminator of stride-2 convolutions, with a coarse map of scores or a single score."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from cyclegan.networks.checks import check_at_least, check_images
from cyclegan.networks.norm import Norm, bias_before, norm_layer
from cyclegan.networks.spectral import normalise_convolutions


class StridedDiscriminator(nn.Module):
    """Stride-2 convolutions, each halving the image, then one convolution to scores; kernel 4, LeakyReLU 0.2.

    The defaults are the discriminator of eriklindernoren/PyTorch-GAN's cyclegan.py: 16 × 16 scores at 256 × 256.
    `widths=(32, 64, 128, 256)`, `norm="batch"` and `head_padding=(0, 0, 0, 0)` are the usual network for
    64 × 64 images, with one score for each image.

    Args:
        in_channels: number of channels of the input images.
        widths: number of channels after each stride-2 convolution.
        norm: normalisation after each of them but the first, as in DCGAN (Radford et al. 2016, arXiv:1511.06434).
        head_padding: pixels of zero padding (left, right, top, bottom) before the last convolution.
        spectral_norm: as in `PatchDiscriminator`.
    """

    size_multiple = 1

    def __init__(
        self,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512),
        norm: Norm = "instance",
        head_padding: Sequence[int] = (2, 1, 2, 1),
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, widths=min(widths, default=0))
        left, right, top, bottom = head_padding
        self.in_channels = in_channels
        self.mixes_samples = norm == "batch"
        # The last kernel must fit, and a norm turns a single pixel before it into 0.
        self.minimum_size = 2 ** len(widths) * max(2, 4 - left - right, 4 - top - bottom)

        layers = [nn.Conv2d(in_channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 4, stride=2, padding=1, bias=bias_before(norm)),
                norm_layer(norm, after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers += [nn.ZeroPad2d((left, right, top, bottom)), nn.Conv2d(widths[-1], 1, 4)]
        self.model = nn.Sequential(*layers)
        if spectral_norm:
            normalise_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1, h, w) for images (N, in_channels, H, W) in [-1, 1]."""
        check_images(self, images)
        scores: Tensor = self.model(images)
        return scores
