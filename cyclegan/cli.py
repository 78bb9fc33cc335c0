"""What the commands share: arguments, the output plan of images, and standard streams that survive a closed reader."""

import argparse
import errno
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path, PurePath

from cyclegan import __version__
from cyclegan.data.sizes import RESIZES
from cyclegan.errors import InputError
from cyclegan.images import CONVERSIONS, MAX_PIXELS
from cyclegan.inspection.pool import processors

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
    """What images are decoded to."""
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
        help="width times height of the largest image that is decoded (default: %(default)s)",
    )


def add_sizing(parser: argparse.ArgumentParser) -> None:
    """How training resizes images."""
    parser.add_argument(
        "--load-size",
        type=positive_or_none,
        default=286,
        metavar="N",
        help="to which images are resized; none leaves them as they are (default: %(default)s)",
    )
    parser.add_argument("--resize", choices=RESIZES, default="stretch", help="what becomes that (default: %(default)s)")
    parser.add_argument("--pairs", action="store_true", help="every image is two side by side")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """How many processes decode images."""
    parser.add_argument(
        "--num-workers",
        type=positive,
        default=processors(),
        metavar="N",
        help="processes (default: one for each processor)",
    )


def plan(base: Path, names: Iterable[str], output: Path, suffix: str) -> list[tuple[Path, Path]]:
    """Pairs every image with the file that its translation goes to.

    Args:
        base: the folder that the names are below.
        names: of the images; they and their sub-folders are kept below `output`.
        output: folder of the translations.
        suffix: their extension.

    Raises:
        InputError: two images would go to the same file, one to where another comes from, or one outside of `output`.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file; give a folder")
    pairs = [(base / name, output / PurePath(name).with_suffix(suffix)) for name in names]
    inputs = {source.resolve() for source, _ in pairs}
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        if ".." in target.relative_to(output).parts:
            raise InputError(f"{source} would go outside of {output}; list the images by absolute paths without ..")
        if target in taken:
            raise InputError(
                f"{taken[target]} and {source} would both become {target}; translate them into two folders"
            )
        if target.resolve() in inputs:
            raise InputError(f"{target} is an input too and would be overwritten; choose another --output")
        taken[target] = source
    return pairs


READER_GONE = (errno.EPIPE, errno.EIO)


class Screen(TextIOWrapper):
    """A standard stream that replaces what its encoding lacks, and goes on in silence once its reader has gone.

    Readers go as `head` does when it has read enough, or as a terminal does that is closed.
    """

    replaced: TextIOWrapper

    def write(self, text: str, /) -> int:
        """Write a text; returns its length."""
        try:
            return super().write(text)
        except OSError as error:
            self._go_on(error)
            return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        try:
            super().flush()
        except OSError as error:
            self._go_on(error)

    def _go_on(self, error: OSError) -> None:
        if error.errno not in READER_GONE:
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def open_screen() -> None:
    """Let standard output and standard error of this process be such streams. Every command begins with it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is TextIOWrapper:  # neither none nor what a program has put in its place
            stream.flush()
            screen = Screen(
                stream.buffer, stream.encoding, "replace",
                line_buffering=stream.line_buffering, write_through=stream.write_through,
            )  # fmt: skip
            screen.replaced = stream  # whose end would close the buffer
            setattr(sys, name, screen)
