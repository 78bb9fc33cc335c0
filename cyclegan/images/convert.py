"""Convert decoded images to the wanted channels and to one of four types."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cyclegan.errors import ImageError
from cyclegan.images.colour_profile import to_srgb
from cyclegan.images.header import Stored, Wanted
from cyclegan.images.pixel_format import FULL_RANGE, PixelFormat, Pixels

_READY = {np.dtype(name) for name in FULL_RANGE}


def convert(stored: Stored, wanted: Wanted) -> Pixels:
    """Convert a decoded image to contiguous pixels (H, W, C) of type uint8, uint16, int16 or float32.

    Raises:
        ImageError: a conversion would lose something and the pixel format does not allow it, values are NaN or
            infinite, or a range is missing.
    """
    pixels, colours = _typed(stored.pixels, wanted), stored.colours
    pixel_format, name = wanted.pixel_format, wanted.name
    if stored.profile and colours in ("RGB", "RGBA"):
        pixels = to_srgb(pixels, stored.profile, name)
    if colours == "CMYK":
        pixels = _cmyk_to_rgb(pixels, name)
    if colours != "bands" and pixel_format.channels <= 4:
        pixels = _channels(pixels, pixel_format, name)
    ready: Pixels = np.ascontiguousarray(pixels)
    return ready if ready.flags.writeable else ready.copy()  # torch warns of read-only arrays


def _typed(pixels: NDArray[Any], wanted: Wanted) -> Any:
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype in _READY:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind not in "iuf":
        raise ImageError(f"{wanted.name}: holds {pixels.dtype}; save it as integers or floating-point numbers")
    low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(
            f"{wanted.name}: {np.count_nonzero(~np.isfinite(pixels))} of its values are NaN or infinite; "
            "replace them with a finite number, such as that of the background"
        )
    if wanted.pixel_format.range is None:
        raise ImageError(
            f"{wanted.name}: its pixels are {pixels.dtype} from {low:g} to {high:g}, and its domain has no range; "
            f"set the values that become -1 and 1 in all its files, such as range=[{low:g}, {high:g}]"
        )
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize > 4:
        largest = np.finfo(np.float32).max
        pixels = pixels.clip(-largest, largest)
    return pixels.astype(np.float32, copy=False)


def _channels(pixels: Any, pixel_format: PixelFormat, name: str) -> Any:
    """Convert between grey, grey and alpha, RGB, RGB and alpha: 1 to 4 channels."""
    keeps_alpha = pixel_format.channels in (2, 4)
    opaque = _opaque(pixels.dtype, pixel_format)
    alpha = None
    if pixels.shape[2] in (2, 4):
        pixels, alpha = pixels[..., :-1], pixels[..., -1:]
        if not keeps_alpha and alpha.min() < opaque:
            pixels = _onto_white(pixels, alpha, pixel_format, name)
    if pixel_format.channels <= 2 and pixels.shape[2] == 3:
        pixels = _grey(pixels, pixel_format, name)
    if pixel_format.channels >= 3 and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if not keeps_alpha:
        return pixels
    if alpha is None:
        alpha = np.full((*pixels.shape[:2], 1), opaque, pixels.dtype)
    return np.concatenate([pixels, alpha], axis=2)


def _opaque(dtype: np.dtype[Any], pixel_format: PixelFormat) -> float:
    """Return the alpha of an opaque pixel."""
    return pixel_format.bounds("float32")[1] if dtype.kind == "f" else float(np.iinfo(dtype).max)


def _onto_white(colours: Any, alpha: Any, pixel_format: PixelFormat, name: str) -> Any:
    if "alpha" not in pixel_format.convert:
        raise ImageError(
            f"{name}: has transparent pixels, which {pixel_format.channels} channels cannot hold; to blend them "
            "with white, add alpha to the conversions of its domain, convert=[alpha]; or set channels=4 to keep alpha"
        )
    white = min(pixel_format.bounds(colours.dtype.name)[1], _opaque(colours.dtype, pixel_format))
    share = alpha.astype(np.float32) / np.float32(_opaque(colours.dtype, pixel_format))
    blend = colours * share + np.float32(white) * (1 - share)
    return blend if colours.dtype.kind == "f" else blend.round().astype(colours.dtype)


def _grey(colours: Any, pixel_format: PixelFormat, name: str) -> Any:
    red, green, blue = (colours[..., channel : channel + 1] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    if "grey" not in pixel_format.convert:
        raise ImageError(
            f"{name}: has colours, but its domain asks for grey (channels={pixel_format.channels}); to convert "
            "them, add grey to its conversions, convert=[grey]; or set channels=3"
        )
    # ITU-R 601 luma, in float64 so that 16 bits are rounded correctly.
    luma = 0.299 * red.astype(np.float64) + 0.587 * green + 0.114 * blue
    return luma.astype(np.float32) if colours.dtype.kind == "f" else luma.round().astype(colours.dtype)


def _cmyk_to_rgb(pixels: Any, name: str) -> Any:
    """Compute (1 - ink) · (1 - black), without a colour profile."""
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{name}: is CMYK of type {pixels.dtype}; save it as 8 or 16 bits, or as RGB")
    full = np.uint64(np.iinfo(pixels.dtype).max)
    light = full - pixels.astype(np.uint64)  # in which the product of two 16-bit values fits
    return ((light[..., :3] * light[..., 3:] + full // np.uint64(2)) // full).astype(pixels.dtype)
