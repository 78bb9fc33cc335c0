"""Normalisation layers of the networks."""

from typing import Literal, get_args

from torch import nn

from cyclegan.errors import UserError

Norm = Literal["instance", "batch", "none"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Return the normalisation layer for feature maps (N, channels, H, W); an identity for `"none"`.

    Instance norm has neither affine parameters nor running statistics (Ulyanov et al. 2016, arXiv:1607.08022),
    as in CycleGAN. It turns a feature map of one pixel into 0, so networks refuse images that would become one pixel.
    """
    match norm:
        case "instance":
            # nn.InstanceNorm2d gives the same values, but converts channels_last images to contiguous ones.
            return nn.GroupNorm(channels, channels, affine=False)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()
    raise UserError(f"norm is {norm!r}; it must be one of {', '.join(get_args(Norm))}")


def bias_before(norm: Norm) -> bool:
    """Return whether a convolution before this norm has a bias; batch norm has its own."""
    return norm != "batch"
