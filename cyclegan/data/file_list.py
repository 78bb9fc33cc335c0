"""A million image files, held so that workers share them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from io import BytesIO
from operator import index as as_integer
from pathlib import Path
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

from cyclegan.data.source import in_chunks
from cyclegan.data.threads import in_threads
from cyclegan.images import Header, PixelFormat, content, header

_NAMES_AT_ONCE = 4096


class Files(Sequence[str]):
    """Image files below a folder, in the order given: `files[i]` is a path.

    The names are one block of bytes and not a million texts. They take a quarter of the memory, and reading them
    writes nothing: every text counts its references within itself, so a forked worker that only looks at a million
    of them copies the pages that they lie in.

    Args:
        base: the folder that the names are below.
        names: of the files, below `base`, "/" between folders.
        label: what the names lie in, without where that is; the folder's own name if None.
        passed_over: how many files of each kind were found and not taken.

    Raises:
        ValueError: a name holds a zero byte, as no file's name does.
    """

    def __init__(
        self,
        base: str | Path,
        names: Iterable[str],
        label: str | None = None,
        passed_over: Counter[str] | None = None,
    ) -> None:
        self.base = Path(base)
        self._above = str(self.base / "x")[:-1]  # its own text, and a separator unless it is the root or here
        self.label = self.base.absolute().name if label is None else label
        self.passed_over = Counter[str]() if passed_over is None else passed_over
        self._block, self._begins = _packed(_encoded(names))

    def __len__(self) -> int:
        return len(self._begins) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> str | Self:
        """A path; of a slice, the files in it.

        Raises:
            IndexError: there are not that many.
        """
        if isinstance(index, slice):
            return self.subset(np.arange(len(self))[index])
        place = as_integer(index) + (len(self) if index < 0 else 0)
        if not 0 <= place < len(self):
            raise IndexError(f"{index} is none of the {len(self)} images below {self.base}")
        return self._above + _decoded(self._block[self._begins[place] : self._begins[place + 1] - 1])

    def __iter__(self) -> Iterator[str]:
        return map(self._above.__add__, self.names())

    def __repr__(self) -> str:
        return f"<{len(self)} images below {self.base}>"

    def names(self) -> Iterator[str]:
        """The files' names below the base, "/" between folders."""
        for first in range(0, len(self), _NAMES_AT_ONCE):
            end = min(first + _NAMES_AT_ONCE, len(self))
            yield from _decoded(self._block[self._begins[first] : self._begins[end] - 1]).split("\0")

    def open(self, index: int) -> bytes:
        """The whole file.

        Raises:
            ImageError: it cannot be read.
        """
        return content(self[index])

    def header(self, index: int, pixel_format: PixelFormat) -> Header:
        """What a file says about its image, read as it will be.

        Raises:
            ImageError: it cannot be read, or is no image.
        """
        return header(self[index], pixel_format)

    def stamps(self) -> Iterator[bytes]:
        """Of each file: its name below the base, size and time of change; of one that is not there, its name."""

        def stamp(name: str) -> bytes:
            try:
                found = os.stat(self._above + name)  # noqa: PTH116 - a Path for each of a million files is slow
            except OSError:
                return f"{name}\0missing\0".encode("utf-8", "surrogateescape")
            return f"{name}\0{found.st_size}\0{found.st_mtime_ns}\0".encode("utf-8", "surrogateescape")

        yield self.label.encode("utf-8", "surrogateescape") + b"\0"
        yield from in_threads(stamp, self.names())

    def order(self, rng: np.random.Generator) -> NDArray[np.integer]:
        """A permutation (n,) of all indices, int32 if they fit."""
        order = rng.permutation(len(self))
        return order.astype(np.int32) if len(self) <= np.iinfo(np.int32).max else order

    def subset(self, indices: NDArray[np.integer]) -> Self:
        """The files at these indices, in their order.

        Raises:
            IndexError: there are not that many.
        """
        places = np.arange(len(self))[indices]
        begins, ends = self._begins[places], self._begins[places + 1]
        some = copy(self)
        some._block, some._begins = _packed(
            b"".join(map(self._between, begins[part].tolist(), ends[part].tolist()))
            for part in (slice(i, i + _NAMES_AT_ONCE) for i in range(0, len(places), _NAMES_AT_ONCE))
        )
        return some

    def _between(self, begin: int, end: int) -> bytes:
        return self._block[begin:end]


def _encoded(names: Iterable[str]) -> Iterator[bytes]:
    """Some thousands of names at a time, each with a zero at its end."""
    for chunk in in_chunks(names):
        encoded = ("\0".join(chunk) + "\0").encode("utf-8", "surrogateescape")
        if encoded.count(0) != len(chunk):
            raise ValueError(f"{next(name for name in chunk if chr(0) in name)!r} holds a zero: no file is called that")
        yield encoded


def _decoded(block: bytes) -> str:
    return block.decode("utf-8", "surrogateescape")


def _packed(chunks: Iterable[bytes]) -> tuple[bytes, NDArray[np.integer]]:
    """All names as one block, and where each of them begins in it, with the block's end as the last."""
    block, begins, end = BytesIO(), [np.zeros(1, np.int64)], 0
    for chunk in chunks:
        block.write(chunk)
        begins.append(np.flatnonzero(np.frombuffer(chunk, np.uint8) == 0) + (end + 1))
        end += len(chunk)
    return block.getvalue(), np.concatenate(begins).astype(np.min_scalar_type(end))
