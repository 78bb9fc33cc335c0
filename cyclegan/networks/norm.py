"""Normalisation layers of the networks."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError

Norm = Literal["instance", "batch", "none"]


class InstanceNorm(nn.Module):
    """Instance norm that keeps the memory format of its input, and is fast in it.

    It has neither affine parameters nor running statistics (Ulyanov et al. 2016, arXiv:1607.08022), as in CycleGAN.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each feature map of (N, C, H, W) to mean 0 and variance 1 (biased, plus 1e-5)."""
        if features.is_contiguous():
            return F.group_norm(features, features.shape[1])
        # In channels_last, nn.InstanceNorm2d returns contiguous features, and the backward pass of group norm takes 40
        # times that of batch norm (benchmarks/README.md). Batch norm of one image is instance norm; weights of float32
        # make it compute in float32 within, without which results in bfloat16 have twice the rounding error.
        dtype = torch.promote_types(features.dtype, torch.float32)
        if torch.compiler.is_compiling():  # which joins this to few kernels, for a batch of any size
            variance, mean = torch.var_mean(features.to(dtype), (2, 3), correction=0, keepdim=True)
            return ((features - mean) * torch.rsqrt(variance + 1e-5)).to(features.dtype)
        one, zero = (
            features.new_ones(features.shape[1], dtype=dtype),
            features.new_zeros(features.shape[1], dtype=dtype),
        )
        images = [F.batch_norm(image, None, None, one, zero, training=True) for image in features.split(1)]
        return images[0] if len(images) == 1 else torch.cat(images)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Return the normalisation layer for feature maps (N, channels, H, W); an identity for `"none"`.

    Instance norm turns a feature map of one pixel into 0, so networks refuse images that would become one pixel.
    """
    match norm:
        case "instance":
            return InstanceNorm()
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()
    raise UserError(f"norm is {norm!r}; it must be one of {', '.join(get_args(Norm))}")


def bias_before(norm: Norm) -> bool:
    """Return whether a convolution before this norm has a bias; batch norm has its own."""
    return norm != "batch"
