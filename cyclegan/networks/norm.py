"""The normalisations that every network here can be built with."""

from typing import Literal, get_args

from torch import nn

from cyclegan.errors import UserError

Norm = Literal["instance", "batch", "none"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """The layer that normalises feature maps (N, channels, H, W); `"none"` is an identity that keeps its place.

    Instance norm has neither affine parameters nor running statistics (Ulyanov et al. 2016, arXiv:1607.08022,
    as CycleGAN uses it). A feature map of one pixel has no spread and becomes 0, so networks refuse images
    small enough to make one.

    Raises:
        UserError: `norm` is none of the three.
    """
    match norm:
        case "instance":
            # One group per channel is instance norm, value for value; nn.InstanceNorm2d would turn
            # channels_last images back into contiguous ones at every layer.
            return nn.GroupNorm(channels, channels, affine=False)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()
    raise UserError(f"norm is {norm!r}; it must be one of {', '.join(get_args(Norm))}")


def bias_before(norm: Norm) -> bool:
    """Whether a convolution before this norm has a bias: before batch norm, which adds its own, it has none."""
    return norm != "batch"
