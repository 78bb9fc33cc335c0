"""Write pixels to image files."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from cyclegan.errors import ImageError, missing
from cyclegan.files import replacing
from cyclegan.images.pixel_format import PixelFormat, Pixels

_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy")


def suffix_for(pixel_format: PixelFormat) -> str:
    """Return the extension of the most common lossless format for such pixels: ".png" or ".tif"."""
    return ".png" if can_hold(".png", pixel_format) else ".tif"


def can_hold(suffix: str, pixel_format: PixelFormat) -> bool:
    """Return whether files with this extension, one that `write` supports, hold pixels of this format."""
    match suffix:
        case ".jpg" | ".jpeg":
            return pixel_format.channels in (1, 3) and pixel_format.dtype in (None, "uint8")
        case ".png":
            return pixel_format.channels <= 4 and pixel_format.dtype in (None, "uint8", "uint16")
        case _:
            return True


def write(pixels: Pixels, path: str | Path, quality: int = 95) -> None:
    """Write pixels (H, W, C) to a file, which is replaced as a whole.

    Two and four channels are grey and RGB with alpha. Extensions: .png (1 to 4 channels of uint8 or uint16), .jpg and
    .jpeg (grey and RGB of uint8, lossy), .tif, .tiff and .npy (any number of channels, also float32).

    Args:
        pixels: image to write.
        path: path of the file; missing folders are created.
        quality: JPEG quality; colours keep their full resolution.

    Raises:
        ImageError: the extension is not supported, cannot hold such pixels, or needs a package that is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        found = suffix or "without an extension"
        raise ImageError(f"{path}: images are written as .png, .jpg, .tif or .npy, not {found}")
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ImageError(f"{path}: pixels must be (height, width, channels), but these are {pixels.shape}")
    pixel_format = PixelFormat(pixels.shape[2], pixels.dtype.name)
    if not can_hold(suffix, pixel_format):
        raise ImageError(
            f"{path}: {suffix} cannot hold {pixel_format.channels} channels of type {pixel_format.dtype}; "
            f"{suffix_for(pixel_format)} and .npy can"
        )
    try:
        encoded = _encode(pixels, suffix, quality)
    except ModuleNotFoundError as error:
        raise ImageError(f"{path}: writing it needs {missing(str(error.name))}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_bytes(encoded)


def _encode(pixels: Pixels, suffix: str, quality: int) -> bytes:
    file = BytesIO()
    squeezed = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    match suffix:
        case ".png" if pixels.dtype == np.uint16:
            import imagecodecs  # slow to import, and 16 bits are rare

            file.write(imagecodecs.png_encode(np.ascontiguousarray(squeezed)))
        case ".png":
            Image.fromarray(squeezed).save(file, "PNG")
        case ".jpg" | ".jpeg":
            Image.fromarray(squeezed).save(file, "JPEG", quality=quality, subsampling=0)
        case ".npy":
            np.save(file, pixels, allow_pickle=False)
        case _:
            _encode_tiff(squeezed, file)
    return file.getvalue()


def _encode_tiff(pixels: Pixels, file: BytesIO) -> None:
    from tifffile import imwrite  # slow to import

    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    alpha = channels in (2, 4)
    extra = ["unassalpha"] if alpha else ["unspecified"] * (channels - 1) if channels > 4 else None
    imwrite(
        file,
        pixels,
        photometric="rgb" if channels in (3, 4) else "minisblack",
        planarconfig=None if channels == 1 else "contig",
        extrasamples=extra,
        compression="zlib",
        predictor=True,
        metadata=None,
    )
