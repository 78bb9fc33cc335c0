"""The generator of the CycleGAN paper."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cyclegan.errors import UserError
from cyclegan.networks.checks import check_at_least, check_images
from cyclegan.networks.norm import Norm, bias_before, norm_layer
from cyclegan.networks.padding import ReflectionPad2d

Upsampling = Literal["transposed", "resize"]


class ResnetGenerator(nn.Module):
    """Two stride-2 convolutions, residual blocks, two upsampling layers (Johnson et al. 2016, arXiv:1603.08155).

    Layer names are those of the authors' published weights. The defaults are the CycleGAN paper's network for
    256 × 256 images (Zhu et al. 2017, arXiv:1703.10593, section 7.2), which uses 6 blocks at 128 × 128.

    Args:
        in_channels: number of channels of the input images.
        out_channels: number of channels of the output images.
        width: number of channels of the first layer; the blocks have four times as many.
        blocks: number of residual blocks.
        norm: normalisation after every convolution but the last.
        dropout: probability in each block; 0 leaves the layer out.
        upsampling: `"transposed"` convolutions as in the paper, or `"resize"`: nearest ×2, then a convolution,
            which avoids checkerboard patterns (Odena et al. 2016, doi:10.23915/distill.00003).
        activation_checkpointing: recomputes the residual blocks in the backward pass instead of keeping their
            activations (Chen et al. 2016, arXiv:1604.06174). The result is the same; the default network takes a
            quarter more time and 158 instead of 343 MiB for an image of 256 × 256. Not with batch norm.
    """

    size_multiple = 4  # the image is halved twice
    minimum_size = 8  # reflection padding in the blocks needs feature maps of at least 2 × 2

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        blocks: int = 9,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsampling: Upsampling = "transposed",
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, out_channels=out_channels, width=width)
        check_at_least(0, blocks=blocks)
        if activation_checkpointing and norm == "batch":
            raise UserError("activation_checkpointing would update batch norm twice a step; set norm to instance")
        self.in_channels = in_channels
        self.mixes_samples = norm == "batch"
        self.activation_checkpointing = activation_checkpointing
        bias = bias_before(norm)

        layers = [
            ReflectionPad2d(3),
            nn.Conv2d(in_channels, width, 7, bias=bias),
            norm_layer(norm, width),
            nn.ReLU(inplace=True),
        ]
        for channels in (width, 2 * width):
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=bias),
                norm_layer(norm, 2 * channels),
                nn.ReLU(inplace=True),
            ]
        layers += [ResnetBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [
                *upsampling_layers(upsampling, channels, channels // 2, bias),
                norm_layer(norm, channels // 2),
                nn.ReLU(inplace=True),
            ]
        layers += [ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Translate images (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1]."""
        check_images(self, images)
        recompute = self.activation_checkpointing and self.training
        features = images
        for layer in self.model:
            if recompute and isinstance(layer, ResnetBlock):
                features = checkpoint(layer, features, use_reentrant=False)
            else:
                features = layer(features)
        return features


def resnet_arguments(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of the `ResnetGenerator` with this state dict.

    Instance norm has no weights, so a network without norm layers is assumed to have instance norm.

    Raises:
        LookupError: the layers have other names.
    """
    first = weights["model.1.weight"]
    blocks = sum(name.endswith(".conv_block.1.weight") for name in weights)
    transposed = f"model.{10 + blocks}.weight" in weights
    return {
        "in_channels": first.shape[1],
        "out_channels": weights[f"model.{(17 if transposed else 19) + blocks}.weight"].shape[0],
        "width": first.shape[0],
        "blocks": blocks,
        "norm": "batch" if "model.2.weight" in weights else "instance",
        "dropout": 0.0 if "model.10.conv_block.5.weight" in weights else 0.5,
        "upsampling": "transposed" if transposed else "resize",
    }


class ResnetBlock(nn.Module):
    """`x + conv_block(x)` on feature maps (N, channels, H, W), with no ReLU after the sum."""

    def __init__(self, channels: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        bias = bias_before(norm)
        self.conv_block = nn.Sequential(
            ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
            nn.ReLU(inplace=True),
            *([nn.Dropout(dropout)] if dropout else []),
            ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        correction: Tensor = self.conv_block(x)
        return x + correction


def upsampling_layers(upsampling: Upsampling, in_channels: int, out_channels: int, bias: bool) -> list[nn.Module]:
    """Return layers from (N, in_channels, H, W) to (N, out_channels, 2H, 2W)."""
    match upsampling:
        case "transposed":
            return [nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1, bias=bias)]
        case "resize":
            return [nn.Upsample(scale_factor=2), nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)]
    raise UserError(f"upsampling is {upsampling!r}; it must be one of {', '.join(get_args(Upsampling))}")
