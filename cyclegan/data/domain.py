"""A domain as the configuration names it: where its images are, and what of them the networks see."""

from collections.abc import Sequence
from dataclasses import dataclass

from cyclegan.errors import DataError
from cyclegan.images import PixelFormat
from cyclegan.images.pixel_format import FULL_RANGE

HALVES = ("left", "right")


@dataclass(frozen=True)
class Domain:
    """Where one domain's images are and how they are read.

    A source is a folder, a glob pattern, a list file, or shards (see docs/data.md); one that is None is looked for
    below the data set's root: `trainA`, or `train` for a domain that is one half of side-by-side pairs.

    Args:
        train: source of the training images.
        val: source of the validation images.
        test: source of the test images.
        channels: that the networks see.
        dtype: in which translations into this domain are written; None: as the training images are stored.
        range: (low, high), the values that become -1 and 1, others are clipped; None: all that the type can hold.
        page: of files with several.
        convert: conversions that lose something and are wanted nevertheless: "alpha" (transparent pixels onto white),
            "grey" (colours to grey), "cmyk" (to RGB).
        half: "left" or "right": every image is two side by side, and this domain's is that one.

    Raises:
        DataError: an argument has a value that means nothing.
    """

    train: str | None = None
    val: str | None = None
    test: str | None = None
    channels: int = 3
    dtype: str | None = None
    range: Sequence[float] | None = None
    page: int = 0
    convert: Sequence[str] = ()
    half: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.convert, str):
            raise DataError(f"convert is {self.convert!r}; give a list, as in [{self.convert}]")
        if self.range is not None and len(self.range) != 2:
            raise DataError(f"range is {list(self.range)}; give the lowest and the highest value, as in [0, 4095]")
        try:
            self.pixel_format  # noqa: B018 - checks the values
        except ValueError as error:
            raise DataError(str(error)) from None
        if self.dtype is not None:
            self._require_dtype_holds_range(self.dtype)
        if self.half not in (None, *HALVES):
            raise DataError(f"half is {self.half!r}; it is left or right, or null for images that stand alone")

    def _require_dtype_holds_range(self, dtype: str) -> None:
        if dtype not in FULL_RANGE:
            if self.range is None:
                raise DataError(f"dtype is {dtype}, which has no full range: say which values to write, range=[0, 1]")
        elif self.range is not None:
            low, high = FULL_RANGE[dtype]
            if self.range[0] < low or self.range[1] > high:
                raise DataError(
                    f"range is {list(self.range)}, and {dtype} holds {low:g} to {high:g}, where translations would be "
                    "cut off: leave dtype out, which takes that of the training images, or set float32"
                )

    @property
    def pixel_format(self) -> PixelFormat:
        """How images are read and written; its dtype may still be open."""
        values = None if self.range is None else (float(self.range[0]), float(self.range[1]))
        return PixelFormat(self.channels, self.dtype, values, self.page, tuple(self.convert))
