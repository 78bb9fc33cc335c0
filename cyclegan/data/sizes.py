"""How large an image is after resizing, found out without torch."""

from typing import NamedTuple

RESIZES = ("stretch", "width", "short_side")


class Scale(NamedTuple):
    """How images are resized; the arguments of `target_size`."""

    load_size: int | None
    resize: str

    def __str__(self) -> str:
        if self.load_size is None:
            return "not resized"
        how = {"stretch": "stretched", "width": "resized in width", "short_side": "resized in their short side"}
        return f"{how[self.resize]} to {self.load_size}"


AS_IT_IS = Scale(None, "short_side")
"""Leaves images at their size."""


def target_size(width: int, height: int, load_size: int | None, resize: str) -> tuple[int, int]:
    """Width and height of an image of this size after resizing.

    Args:
        width: of the image.
        height: of the image.
        load_size: None leaves the image as it is.
        resize: "stretch" to a square, as the authors do; or with its proportions kept, so that the "width" or the
            "short_side" becomes `load_size`.
    """
    if load_size is None:
        return width, height
    if resize == "stretch":
        return load_size, load_size
    side = width if resize == "width" else min(width, height)
    return max(1, round(width * load_size / side)), max(1, round(height * load_size / side))
