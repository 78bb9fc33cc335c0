"""How near translated images come to answers that are known, as those of the toy set are."""

import torch
from torch import Tensor

from cyclegan.images.tensors import to_uint8


def psnr(images: Tensor, answers: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, in dB: more is nearer.

    Of the pictures as they would be saved: rounded to 8 bits, with a peak of 255.

    Args:
        images: (N, C, H, W) in [-1, 1].
        answers: (N, C, H, W) in [-1, 1].

    Returns:
        float64 (N,); infinite where the pictures are equal.

    Raises:
        ValueError: the shapes differ.
    """
    if images.shape != answers.shape:
        raise ValueError(f"images {tuple(images.shape)} and answers {tuple(answers.shape)} must have one shape")
    error = to_uint8(images).double() - to_uint8(answers).double()
    return 10 * torch.log10(255**2 / error.square().flatten(1).mean(1))
