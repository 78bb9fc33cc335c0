"""Images as they are shown to people: at training's scale, and nothing random."""

from itertools import islice

import torch
from torch import Tensor

from cyclegan.data.reader import Prepared
from cyclegan.images import ImageError


def shown(prepared: Prepared, count: int, on_error: str) -> Tensor:
    """The first images of a domain, always the same.

    Where images are shown whole (crop_size null), all are cut to the smallest of them.

    Args:
        prepared: the images.
        count: how many; all if there are fewer.
        on_error: "skip" leaves out what cannot be read.

    Returns:
        Images (N, C, crop_size, crop_size) in [-1, 1].

    Raises:
        ImageError: one cannot be read; with "skip", none can.
    """
    failures: list[ImageError] = []

    def image(index: int) -> Tensor | None:
        try:
            return prepared.tensor(prepared.middle(index))
        except ImageError as error:
            if on_error != "skip":
                raise
            failures.append(error)
            return None

    readable = (found for index in range(len(prepared)) if (found := image(index)) is not None)
    images = list(islice(readable, count))
    if not images:
        raise failures[0]
    height, width = (min(image.shape[axis] for image in images) for axis in (1, 2))
    return torch.stack([image[:, :height, :width] for image in images])
