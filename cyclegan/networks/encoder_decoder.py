"""A small generator for small images: stride-2 convolutions, then transposed convolutions."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from cyclegan.networks.checks import check_at_least, check_images
from cyclegan.networks.norm import Norm, bias_before, norm_layer


class EncoderDecoder(nn.Module):
    """The generator of the usual 64 × 64 recipe for faces and anime, with DCGAN's layers in both halves.

    Kernel 4, stride 2, LeakyReLU 0.2 in the encoder and ReLU in the decoder. Every layer but the last has a norm, as
    in the generator of DCGAN (Radford et al. 2016, arXiv:1511.06434, section 3).

    Args:
        in_channels: number of channels of the input images.
        out_channels: number of channels of the output images.
        widths: number of channels after each convolution of the encoder; the decoder reverses them.
        norm: normalisation after every convolution but the last.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        widths: Sequence[int] = (64, 128, 256),
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, out_channels=out_channels, widths=min(widths, default=0))
        self.in_channels = in_channels
        self.mixes_samples = norm == "batch"
        self.size_multiple = 2 ** len(widths)
        self.minimum_size = 2 * self.size_multiple  # a norm turns a single pixel into 0
        bias = bias_before(norm)

        layers: list[nn.Module] = []
        for before, after in pairwise([in_channels, *widths]):
            layers += [
                nn.Conv2d(before, after, 4, stride=2, padding=1, bias=bias),
                norm_layer(norm, after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        for before, after in pairwise(reversed(widths)):
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias),
                norm_layer(norm, after),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(widths[0], out_channels, 4, stride=2, padding=1), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Translate images (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1]."""
        check_images(self, images)
        translated: Tensor = self.model(images)
        return translated


def encoder_decoder_arguments(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of the `EncoderDecoder` with this state dict.

    Raises:
        LookupError: the layers have other names.
    """
    convolutions = sum(value.dim() == 4 for value in weights.values())
    first, last = weights["model.0.weight"], weights[f"model.{3 * (convolutions - 1)}.weight"]
    return {
        "in_channels": first.shape[1],
        "out_channels": last.shape[1],
        "widths": [weights[f"model.{3 * layer}.weight"].shape[0] for layer in range(convolutions // 2)],
        "norm": "batch" if "model.1.weight" in weights else "instance",
    }
