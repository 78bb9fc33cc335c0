"""Convert between pixels and tensors in [-1, 1], and compose tensors into images for display."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclegan.images.lab import rgb_to_lab
from cyclegan.images.pixel_format import RGB, PixelFormat, Pixels


def to_tensor(pixels: Pixels, pixel_format: PixelFormat = RGB) -> Tensor:
    """Convert decoded pixels (H, W, C) to a float32 tensor (C, H, W) in [-1, 1], as the networks see it."""
    return normalise(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1), pixel_format)


def normalise(planes: Tensor, pixel_format: PixelFormat) -> Tensor:
    """Convert stored values (..., C, H, W) to what the networks see: contiguous float32 in [-1, 1]."""
    return as_seen(scale(planes, pixel_format), pixel_format)


def as_seen(images: Tensor, pixel_format: PixelFormat) -> Tensor:
    """Return images (..., C, H, W) in [-1, 1] as they are, or their lightness (..., 1, H, W), as the format says."""
    return rgb_to_lab(images)[..., :1, :, :].contiguous() if pixel_format.lightness else images


def scale(planes: Tensor, pixel_format: PixelFormat) -> Tensor:
    """Scale a tensor of stored values, of any shape, to contiguous float32 in [-1, 1]; the same on every device."""
    low, high = pixel_format.bounds(str(planes.dtype).removeprefix("torch."))
    values = planes.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    half = values.new_full((), (high - low) / 2)  # on a GPU, torch multiplies by the rounded reciprocal of a number
    values = (values.sub_(low) if low else values).div_(half).sub_(1)
    return values if pixel_format.range is None else values.clamp_(-1, 1)


def to_pixels(image: Tensor, pixel_format: PixelFormat = RGB) -> Pixels:
    """Convert an image (C, H, W) in [-1, 1] to pixels (H, W, C) of `pixel_format.dtype` (uint8 if that is None).

    Integers are rounded and clamped to the range.
    """
    dtype = pixel_format.dtype or "uint8"
    low, high = pixel_format.bounds(dtype)
    values = image.detach().float().cpu().permute(1, 2, 0).contiguous()
    half = (high - low) / 2
    stored = (values * half + (low + half)).numpy()
    if dtype == "float32":
        return stored
    limits = np.iinfo(dtype)  # a range may be wider than what the type holds
    return stored.round().clip(max(low, limits.min), min(high, limits.max)).astype(dtype)


def to_uint8(images: Tensor) -> Tensor:
    """Convert a tensor in [-1, 1], of any shape, to uint8 in 0..255: rounded and clamped."""
    return (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


def to_view(image: Tensor) -> Pixels:
    """Convert an image (C, H, W) in [-1, 1] with any number of channels to 8-bit RGB pixels (H, W, 3) for display.

    With one or two channels the first is shown as grey, with four or more the first three as colours.
    """
    return to_rgb8(image.detach()[None])[0].permute(1, 2, 0).contiguous().cpu().numpy()


def to_rgb8(images: Tensor) -> Tensor:
    """Convert images (N, C, H, W) in [-1, 1] to uint8 (N, 3, H, W), with channels as in `to_view`."""
    return to_uint8(_colours(images))


def grid(columns: Sequence[Tensor], padding: int = 2) -> Tensor:
    """Compose images into one: a column for each tensor, on white.

    Args:
        columns: images (N, C, H, W) in [-1, 1]; N, C, H and W may differ between columns.
        padding: white pixels around and between the images.

    Returns:
        (3, height, width) in [-1, 1], channels as in `to_view`.
    """
    strips = [
        torch.cat([F.pad(image, (0, padding, 0, padding), value=1.0) for image in _colours(column)], dim=1)
        for column in columns  # each 3, N·(H+p), W+p
    ]
    height = max(strip.shape[1] for strip in strips)
    level = [F.pad(strip, (0, 0, 0, height - strip.shape[1]), value=1.0) for strip in strips]
    return F.pad(torch.cat(level, dim=2), (padding, 0, padding, 0), value=1.0)


def _colours(images: Tensor) -> Tensor:
    return images[:, [0, 0, 0] if images.shape[1] < 3 else [0, 1, 2]]
