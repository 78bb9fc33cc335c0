"""What can be found out about one image file."""

from contextlib import suppress
from hashlib import blake2b
from typing import NamedTuple

from cyclegan.images import CONVERSIONS, MAX_PIXELS, ImageError, PixelFormat, Pixels, content, decode, header_of

BROKEN = "broken"
UNSUITABLE = "unsuitable"


class Look(NamedTuple):
    """One image file. It is kept small: there may be a million."""

    size: int = 0  # bytes of the file
    format: str = ""  # as in images.Header; "" if that could not be read
    mode: str = ""
    dtype: str = ""
    width: int = 0
    height: int = 0
    pages: int = 0
    pixels: bytes = b""  # 16-byte digest of what was decoded, and of its shape and type; b"" if nothing was
    trouble: str = ""  # BROKEN; or UNSUITABLE, a whole image that cannot be read as it is wanted
    why: str = ""


def look(path: str, pixel_format: PixelFormat, max_pixels: int = MAX_PIXELS) -> Look:
    """Decodes an image completely, as training does."""
    size = 0
    try:
        data = content(path)
        size = len(data)
        # Which axis of an array is that of the channels is guessed, so that any array is described.
        header = header_of(data, path, pixel_format if pixel_format.page else None)
    except ImageError as error:
        return Look(size, trouble=BROKEN, why=str(error))
    known = Look(size, header.format, header.mode, header.dtype, header.width, header.height, header.pages)
    try:
        return known._replace(pixels=digest(decode(data, path, pixel_format, max_pixels=max_pixels)))
    except ImageError as error:
        # What is too large may be a bomb, and is not decoded to find that out.
        unsuitable = header.width * header.height > max_pixels or _is_whole(data, path, header.channels)
        return known._replace(why=str(error), trouble=UNSUITABLE if unsuitable else BROKEN)


def digest(pixels: Pixels) -> bytes:
    """16 bytes that two images share only if they have the same shape, type and values."""
    return blake2b(pixels.tobytes() + f"{pixels.shape} {pixels.dtype}".encode(), digest_size=16).digest()


def _is_whole(data: bytes, path: str, channels: int) -> bool:
    """Whether an image can be decoded at all, whatever it then is."""
    anything = PixelFormat(channels, range=(0.0, 1.0), convert=CONVERSIONS)
    with suppress(ImageError):
        decode(data, path, anything)
        return True
    return False
