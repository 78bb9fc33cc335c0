"""Whether an image can become what is wanted, as far as its header tells."""

from cyclegan.errors import ImageError
from cyclegan.images.header import MAX_PIXELS, Header, Wanted
from cyclegan.images.pixel_format import FULL_RANGE, PixelFormat


def require_suitable(header: Header, pixel_format: PixelFormat, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Refuses an image whose header alone shows that it cannot be read in this format.

    Raises:
        ImageError: too many pixels, no such page, the wrong number of bands, a conversion that is not allowed, or a
            type of pixels that needs a range.
    """
    require_decodable(header, Wanted(name, pixel_format, None, max_pixels))
    if header.dtype not in FULL_RANGE and pixel_format.range is None:
        raise ImageError(
            f"{name}: its pixels are {header.dtype}, and which values are to become -1 and 1 is not said; "
            "set the range of its domain, such as range=[0, 1]"
        )


def require_decodable(header: Header, wanted: Wanted) -> None:
    """The same, but for the range: when that is missing, the pixels tell which one there could be."""
    name, pixel_format = wanted.name, wanted.pixel_format
    require_room(header.width, header.height, wanted)
    if pixel_format.page >= header.pages:
        count = "one page" if header.pages == 1 else f"{header.pages} pages"
        raise ImageError(
            f"{name}: has {count}, so there is no page {pixel_format.page}, counted from 0; "
            "set the page of its domain to one that every file has"
        )
    colours = header.colours
    if colours is None or pixel_format.channels > 4:
        if header.channels != pixel_format.channels:
            raise ImageError(
                f"{name}: has {header.channels} channels ({header.mode}), but its domain asks for "
                f"{pixel_format.channels}; set channels={header.channels}, or write files with the wanted ones"
            )
    elif colours in ("CMYK", "LAB") and colours.lower() not in pixel_format.convert:
        raise ImageError(
            f"{name}: is {colours}, which becomes RGB by a guess only; save it as RGB yourself, "
            f"or allow the guess: add {colours.lower()} to the conversions of its domain, convert=[{colours.lower()}]"
        )


def require_room(width: int, height: int, wanted: Wanted) -> None:
    """Refuses what has no pixels, or more than are allowed."""
    if width < 1 or height < 1:
        raise ImageError(f"{wanted.name}: says that it is {width}×{height} pixels large; put a whole image there")
    if width * height > wanted.max_pixels:
        raise ImageError(
            f"{wanted.name}: says that it is {width}×{height} pixels large, more than the {wanted.max_pixels} that "
            "are decoded; it may be made to fill the memory. If it is to be trusted, raise "
            "data.max_pixels, or --max-pixels of a command"
        )
