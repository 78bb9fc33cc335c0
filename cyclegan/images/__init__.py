"""Read and write image files: the only place that decodes or encodes them.

Nothing here imports torch, except `cyclegan.images.tensors` and `cyclegan.images.lab`.
"""

from cyclegan.errors import DiskError, ImageError
from cyclegan.images.header import MAX_PIXELS, Header, require_suitable
from cyclegan.images.pixel_format import CONVERSIONS, RGB, PixelFormat, Pixels
from cyclegan.images.reading import IMAGE_SUFFIXES, content, decode, header, header_in, header_of, read
from cyclegan.images.writing import can_hold, suffix_for, write

__all__ = [
    "CONVERSIONS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "RGB",
    "DiskError",
    "Header",
    "ImageError",
    "PixelFormat",
    "Pixels",
    "can_hold",
    "content",
    "decode",
    "header",
    "header_in",
    "header_of",
    "read",
    "require_suitable",
    "suffix_for",
    "write",
]
