"""Pictures on disk and tensors in [-1, 1]: the only place that decodes or encodes image files."""

import uuid
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
"""Endings, in lower case, of the files that are taken for pictures."""


class ImageError(ValueError):
    """A picture cannot be read or written; the message names the file and says what to do."""


def read(path: str | Path) -> Image.Image:
    """Reads a whole picture as 8-bit RGB, upright.

    Grey, palette, 1-bit and CMYK pictures become RGB; what is transparent becomes white.

    Raises:
        ImageError: the file is missing, damaged or no picture, or has more than 8 bits in its one channel.
    """
    try:
        with Image.open(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode == "F" or image.mode.startswith("I"):
                # Pillow would clip these at 255: a 16-bit picture would come out white, without a word.
                raise ImageError(
                    f"{path}: its pixels are of mode {image.mode}, more than the 8 bits of a channel that training "
                    "uses; scale it to 0..255 yourself and save it as 8-bit grey or RGB"
                )
            if image.has_transparency_data:
                upright = image.convert("RGBA")
                paper = Image.new("RGBA", upright.size, "white")
                return Image.alpha_composite(paper, upright).convert("RGB")
            return image.convert("RGB")
    except Exception as error:
        # Damaged files make Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, ...
        raise _unreadable(path, error) from error


def upright_size(path: str | Path) -> tuple[int, int]:
    """Width and height of the picture that `read` would give, from the file's header.

    Of a PNG, Pillow decodes the pixels too: what says that it lies on its side may stand after them.

    Raises:
        ImageError: the file is missing, or its header is no picture's.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            lies_on_its_side = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
            if lies_on_its_side and image.format != "TIFF":  # of a TIFF, Pillow gives the upright size by itself
                return height, width
            return width, height
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> ImageError:
    if isinstance(error, ImageError):
        return error
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{path}: there is no such file")
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    return ImageError(
        f"{path}: {size} bytes that cannot be read as a picture ({type(error).__name__}: {error}); "
        "put a whole picture in its place, or take it out of the folder (which a run that is resumed does not allow)"
    )


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB picture as float32 (3, H, W) in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image))  # H, W, 3
    return pixels.permute(2, 0, 1).contiguous().float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Images (..., C, H, W) in [-1, 1] as uint8 of 0..255: rounded, and clamped where they leave the range."""
    return (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


def to_image(image: Tensor) -> Image.Image:
    """An image (3, H, W) in [-1, 1], on any device, as an RGB picture."""
    return Image.fromarray(to_uint8(image.detach()).permute(1, 2, 0).contiguous().cpu().numpy())


def write(image: Tensor, path: str | Path, quality: int = 95) -> None:
    """Writes an image (3, H, W) in [-1, 1] as .png, .jpg or .jpeg; a half-written file never bears the name.

    Args:
        image: what to write.
        path: where; folders on the way are made.
        quality: of a JPEG, whose colours keep their full resolution.

    Raises:
        ImageError: the ending is another one.
    """
    path = Path(path)
    encoded = BytesIO()
    match path.suffix.lower():
        case ".png":
            to_image(image).save(encoded, "PNG")
        case ".jpg" | ".jpeg":
            to_image(image).save(encoded, "JPEG", quality=quality, subsampling=0)
        case other:
            raise ImageError(f"{path}: pictures are written as .png or .jpg, not as {other or 'a name without ending'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        unfinished.write_bytes(encoded.getbuffer())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def grid(columns: Sequence[Tensor], padding: int = 2) -> Tensor:
    """One image out of many: a column for each tensor, its images one below the other, on white.

    Args:
        columns: images (N, C, H, W) in [-1, 1]; N, H and W may differ between columns.
        padding: white pixels around and between the images.

    Returns:
        (C, height, width) in [-1, 1].
    """
    strips = [
        torch.cat([F.pad(image, (0, padding, 0, padding), value=1.0) for image in column], dim=1)  # C, N·(H+p), W+p
        for column in columns
    ]
    height = max(strip.shape[1] for strip in strips)
    level = [F.pad(strip, (0, 0, 0, height - strip.shape[1]), value=1.0) for strip in strips]
    return F.pad(torch.cat(level, dim=2), (padding, 0, padding, 0), value=1.0)
