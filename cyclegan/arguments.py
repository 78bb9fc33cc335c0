"""What words on a command line mean; each of these is a `type` of argparse."""

from argparse import ArgumentTypeError

from cyclegan.images.pixel_format import CONVERSIONS


def positive(text: str) -> int:
    """An integer of 1 or more."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f"{text} is less than 1")
    return number


def not_negative(text: str) -> int:
    """An integer of 0 or more."""
    number = int(text)
    if number < 0:
        raise ArgumentTypeError(f"{text} is less than 0")
    return number


def positive_or_none(text: str) -> int | None:
    """An integer of 1 or more, or the word none."""
    return None if text == "none" else positive(text)


def quality(text: str) -> int:
    """Of a JPEG: 1 to 100."""
    number = int(text)
    if not 1 <= number <= 100:
        raise ArgumentTypeError(f"{text} is not between 1 and 100")
    return number


def seconds(text: str) -> float:
    """A time above 0 and up to an hour."""
    number = float(text)
    if not 0 < number <= 3600:
        raise ArgumentTypeError(f"{text} is not between 0 and 3600 seconds")
    return number


def conversions(text: str) -> tuple[str, ...]:
    """Conversions of pixels, with commas between them."""
    words = tuple(text.split(","))
    for word in words:
        if word not in CONVERSIONS:
            raise ArgumentTypeError(f"{word!r} is none of {', '.join(CONVERSIONS)}")
    return words
