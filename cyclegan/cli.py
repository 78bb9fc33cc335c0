"""What the commands share: arguments, the device, output files, and robust standard streams."""

from __future__ import annotations

import argparse
import errno
import math
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from cyclegan import __version__
from cyclegan.data.sizes import RESIZES
from cyclegan.errors import InputError
from cyclegan.images import CONVERSIONS, MAX_PIXELS
from cyclegan.inspection.pool import processors

if TYPE_CHECKING:
    from cyclegan.methods.translator import Translator

VERSION = f"cyclegan {__version__}"


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add `--version`."""
    parser.add_argument("--version", action="version", version=VERSION)


def _integer(minimum: int, maximum: float = math.inf) -> Callable[[str], int]:
    """Return a parser of integers in a range."""

    def integer(text: str) -> int:
        if not minimum <= int(text) <= maximum:
            limits = f"less than {minimum}" if maximum == math.inf else f"not between {minimum} and {maximum}"
            raise ArgumentTypeError(f"{text} is {limits}")
        return int(text)

    return integer


positive = _integer(1)
at_least_two = _integer(2)
not_negative = _integer(0)
quality = _integer(1, 100)


def positive_or_none(text: str) -> int | None:
    """Parse an integer of 1 or more, or the word none."""
    return None if text == "none" else positive(text)


def seconds(text: str) -> float:
    """Parse a time in seconds, above 0 and up to an hour."""
    number = float(text)
    if not 0 < number <= 3600:
        raise ArgumentTypeError(f"{text} is not between 0 and 3600 seconds")
    return number


def conversions(text: str) -> tuple[str, ...]:
    """Parse names of pixel conversions, separated by commas."""
    words = tuple(text.split(","))
    for word in words:
        if word not in CONVERSIONS:
            raise ArgumentTypeError(f"{word!r} is none of {', '.join(CONVERSIONS)}")
    return words


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the pixel format that images are decoded to."""
    parser.add_argument(
        "--channels", type=positive, default=3, metavar="N", help="number of channels (default: %(default)s)"
    )
    parser.add_argument(
        "--convert",
        type=conversions,
        default=(),
        metavar="NAMES",
        help=f"lossy conversions that are allowed, comma-separated: {','.join(CONVERSIONS)} (default: none)",
    )
    parser.add_argument(
        "--page", type=not_negative, default=0, metavar="N", help="page of TIFF and GIF files (default: %(default)s)"
    )
    add_max_pixels(parser)


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """Add `--max-pixels`, the protection against decompression bombs."""
    text = "width × height of the largest image that is decoded (default: %(default)s)"
    parser.add_argument("--max-pixels", type=positive, default=MAX_PIXELS, metavar="N", help=text)


def add_translate_in(parser: argparse.ArgumentParser) -> None:
    """Add `--translate-in`."""
    text = "train: with dropout and the batch statistics of each image, as pix2pix's authors test (default: as the "
    parser.add_argument("--translate-in", choices=("eval", "train"), help=f"{text}checkpoint says, or eval)")


def add_sizing(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the resizing in training."""
    parser.add_argument(
        "--load-size",
        type=positive_or_none,
        default=286,
        metavar="N",
        help="size in pixels that images are resized to, or none for no resizing (default: %(default)s)",
    )
    parser.add_argument(
        "--resize",
        choices=RESIZES,
        default="stretch",
        help="stretch to a square, or keep proportions and set the width or the short side to --load-size "
        "(default: %(default)s)",
    )
    parser.add_argument("--pairs", action="store_true", help="each file holds two images side by side")


def add_transfer(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of downloads."""
    parser.add_argument(
        "--sha256", metavar="HEX", help="accept the file with this SHA-256 (default: the pinned one, if there is one)"
    )
    parser.add_argument(
        "--retries",
        type=not_negative,
        default=5,
        metavar="N",
        help="attempts after a failure, with growing pauses (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=30.0,
        metavar="SECONDS",
        help="time without any data after which an attempt fails (default: %(default)g)",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add `--num-workers`."""
    text = "processes that decode images (default: one for each processor)"
    parser.add_argument("--num-workers", type=positive, default=processors(), metavar="N", help=text)


def default_device() -> str:
    """Return a GPU if torch finds one, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usable_device(name: str) -> str:
    """Return the name of a device after trying it; `auto` gives `default_device()`.

    Raises:
        InputError: torch cannot use the device.
    """
    import torch

    if name == "auto":
        return default_device()
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from error
    return name


def parse_direction(translator: Translator, text: str | None) -> tuple[str, str]:
    """Return the direction "A2B" as ("A", "B"); for None, the translator's first.

    Raises:
        InputError: the translator does not have this direction.
    """
    known = {f"{source}2{target}": (source, target) for source, target in translator.directions}
    if text is None:
        return translator.directions[0]
    if text not in known:
        raise InputError(f"--direction {text}: this checkpoint knows {' and '.join(known)}")
    return known[text]


def plan(base: Path, names: Iterable[str], output: Path, suffix: str) -> list[tuple[Path, Path]]:
    """Pair every image, `base / name`, with the file of its translation, `output / name` with another extension.

    Raises:
        InputError: two translations would be written to the same file, one to an input, or one outside of `output`.
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


class Screen(TextIOWrapper):
    """A standard stream that discards output after its reader has closed it, as `head` or a closed terminal do."""

    replaced: TextIOWrapper

    def write(self, text: str, /) -> int:
        """Write a text and return its length."""
        with self._unless_closed():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the buffer."""
        with self._unless_closed():
            super().flush()

    @contextmanager
    def _unless_closed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


def open_screen() -> None:
    """Replace standard output and error by a `Screen`, on which `?` stands for characters that the encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is TextIOWrapper:  # not if a program has replaced it
            stream.flush()
            screen = Screen(
                stream.buffer, stream.encoding, "replace",
                line_buffering=stream.line_buffering, write_through=stream.write_through,
            )  # fmt: skip
            screen.replaced = stream  # keeps a reference: its destructor would close the buffer
            setattr(sys, name, screen)
