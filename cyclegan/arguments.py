"""What words on a command line mean, and the arguments that several commands share."""

import argparse
from argparse import ArgumentTypeError

from cyclegan import __version__
from cyclegan.data.sizes import RESIZES
from cyclegan.data.survey.crew import processors
from cyclegan.images import CONVERSIONS, MAX_PIXELS

VERSION = f"cyclegan {__version__}"


def add_version(parser: argparse.ArgumentParser) -> None:
    """Adds `--version`, which every command answers alike."""
    parser.add_argument("--version", action="version", version=VERSION)


def positive(text: str) -> int:
    """An integer of 1 or more."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f"{text} is less than 1")
    return number


def at_least_two(text: str) -> int:
    """An integer of 2 or more."""
    number = int(text)
    if number < 2:
        raise ArgumentTypeError(f"{text} is less than 2")
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


def add_format(parser: argparse.ArgumentParser) -> None:
    """What pictures are decoded to."""
    parser.add_argument(
        "--channels", type=positive, default=3, metavar="N", help="that training will see (default: %(default)s)"
    )
    parser.add_argument(
        "--convert",
        type=conversions,
        default=(),
        metavar="WORDS",
        help=f"conversions allowed although they lose something, of {','.join(CONVERSIONS)} (default: none)",
    )
    parser.add_argument("--page", type=not_negative, default=0, metavar="N", help="of files with several, from 0")
    add_max_pixels(parser)


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """What is taken for a decompression bomb."""
    parser.add_argument(
        "--max-pixels",
        type=positive,
        default=MAX_PIXELS,
        metavar="N",
        help="width times height of the largest picture that is decoded (default: %(default)s)",
    )


def add_sizing(parser: argparse.ArgumentParser) -> None:
    """How training resizes pictures."""
    parser.add_argument(
        "--load-size",
        type=positive_or_none,
        default=286,
        metavar="N",
        help="to which pictures are resized; none leaves them as they are (default: %(default)s)",
    )
    parser.add_argument("--resize", choices=RESIZES, default="stretch", help="what becomes that (default: %(default)s)")
    parser.add_argument("--pairs", action="store_true", help="every picture is two side by side")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """How many processes decode pictures."""
    parser.add_argument(
        "--num-workers",
        type=positive,
        default=processors(),
        metavar="N",
        help="processes (default: one for each processor)",
    )
