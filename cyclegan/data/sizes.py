"""Sizes of resized images, computed without torch."""

from typing import NamedTuple

RESIZES = ("stretch", "width", "short_side")


class Scale(NamedTuple):
    """Resizing of images: the last two arguments of `target_size`."""

    load_size: int | None
    resize: str

    def __str__(self) -> str:
        if self.load_size is None:
            return "not resized"
        how = {"stretch": "stretched", "width": "resized in width", "short_side": "resized in their short side"}
        return f"{how[self.resize]} to {self.load_size}"


AS_IT_IS = Scale(None, "short_side")
"""The scale that keeps the size of images."""


def target_size(width: int, height: int, load_size: int | None, resize: str) -> tuple[int, int]:
    """Return the width and height of an image after resizing.

    Args:
        width: width before.
        height: height before.
        load_size: size to resize to; None keeps the size.
        resize: "stretch" to a square, as the authors do; or keep the proportions, so that the "width" or the
            "short_side" becomes `load_size`.
    """
    if load_size is None:
        return width, height
    if resize == "stretch":
        return load_size, load_size
    side = width if resize == "width" else min(width, height)
    return max(1, round(width * load_size / side)), max(1, round(height * load_size / side))
