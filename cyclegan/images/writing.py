"""Write pixels to image files."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cyclegan.errors import ImageError
from cyclegan.files import replacing
from cyclegan.images.pixel_format import PixelFormat, Pixels

_LARGEST_JPEG = 65500


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
        ImageError: the extension is not supported, or cannot hold such pixels.
    """
    path = Path(path)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ImageError(f"{path}: pixels must be (height, width, channels), but these are {pixels.shape}")
    encoded = BytesIO()
    match path.suffix.lower():
        case ".png":
            _encode_png(pixels, encoded, path)
        case ".jpg" | ".jpeg":
            if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3) or max(pixels.shape) > _LARGEST_JPEG:
                raise _cannot_hold(pixels, path)
            _image(pixels).save(encoded, "JPEG", quality=quality, subsampling=0)
        case ".tif" | ".tiff":
            _encode_tiff(pixels, encoded)
        case ".npy":
            np.save(encoded, pixels, allow_pickle=False)
        case other:
            raise ImageError(
                f"{path}: images are written as .png, .jpg, .tif or .npy, not {other or 'without an extension'}"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_bytes(encoded.getbuffer())


def _encode_png(pixels: NDArray[Any], file: BytesIO, path: Path) -> None:
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[2] > 4:
        raise _cannot_hold(pixels, path)
    if pixels.dtype == np.uint8:
        _image(pixels).save(file, "PNG")
        return
    import imagecodecs  # slow to import, and 16 bits are rare

    file.write(imagecodecs.png_encode(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)))


def _encode_tiff(pixels: NDArray[Any], file: BytesIO) -> None:
    from tifffile import imwrite  # slow to import

    channels = pixels.shape[2]
    alpha = channels in (2, 4)
    extra = ["unassalpha"] if alpha else ["unspecified"] * (channels - 1) if channels > 4 else None
    imwrite(
        file,
        pixels[..., 0] if channels == 1 else pixels,
        photometric="rgb" if channels in (3, 4) else "minisblack",
        planarconfig=None if channels == 1 else "contig",
        extrasamples=extra,
        compression="zlib",
        predictor=True,
        metadata=None,
    )


def _image(pixels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _cannot_hold(pixels: NDArray[Any], path: Path) -> ImageError:
    others = ".png, .tif or .npy" if pixels.dtype in (np.uint8, np.uint16) and pixels.shape[2] <= 4 else ".tif or .npy"
    return ImageError(
        f"{path}: {path.suffix} cannot hold {pixels.shape[1]}×{pixels.shape[0]} pixels with {pixels.shape[2]} channels "
        f"of type {pixels.dtype}; {others} can"
    )
