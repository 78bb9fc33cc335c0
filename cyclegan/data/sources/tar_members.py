"""The members of a plain tar file, by a walk over its headers.

Not by the standard tarfile, which takes a damaged header for the end: the images behind it are lost without a word.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

BLOCK = 512
_ZEROS = bytes(BLOCK)
_LOOK_BEHIND_END = 2**20  # bytes; tar pads with zeros to a multiple of its record, 10 KB unless told otherwise
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}


class Member(NamedTuple):
    """One entry of a tar file.

    Args:
        name: UTF-8, other bytes as surrogates; without a leading "./" or "/".
        kind: the header's type flag; "S" for sparse files of any format.
        offset: where its bytes begin in the tar file.
        size: how many these are.
    """

    name: str
    kind: bytes
    offset: int
    size: int


class UnfitError(Exception):
    """The file is no whole, plain tar file: why, as the rest of a sentence about it, and the remedy."""

    def __init__(self, why: str, remedy: str = "make it or copy it once more") -> None:
        super().__init__(f"{why}; {remedy}")


def members(descriptor: int, length: int) -> Iterator[Member]:
    """Every member of a tar file of `length` bytes, of the formats ustar, pax, GNU and what was before them.

    Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar
    Format". The standard library's tarfile reads them too, but slowly, and takes a damaged header for the end.

    Raises:
        UnfitError: it is compressed, damaged or cut off, or something follows that looks like a second one.
    """
    _require_uncompressed(os.pread(descriptor, 8, 0))
    at = 0
    of_all: dict[str, bytes] = {}  # pax records
    of_next: dict[str, bytes] = {}
    while (header := _read(descriptor, BLOCK, at)) != _ZEROS:
        if not _is_header(header):
            raise UnfitError(f"is damaged, or no tar file: there is no header at byte {at:,}")
        kind, size, offset = header[156:157], _number(header[124:136], at), at + BLOCK
        if kind in (b"L", b"x", b"g"):  # says something about what follows: a name that is long, or pax records
            body = _read(descriptor, min(size, length), offset)
            if kind == b"g":
                of_all |= _records(body, at)
            else:
                of_next |= {"path": body.rstrip(b"\0")} if kind == b"L" else _records(body, at)
        elif kind != b"K":  # that is the long name of a link's target
            known = of_all | of_next
            of_next = {}
            size = 0 if kind in _WITHOUT_DATA else _decimal(known.get("size", b"%d" % size), at)
            if kind == b"S" or any(key.startswith("GNU.sparse") for key in known):
                more, kind = kind == b"S" and header[482], b"S"
                while more:  # the map of an old sparse file goes on in blocks that its size does not count
                    more = _read(descriptor, BLOCK, offset)[504]
                    offset += BLOCK
            name = known.get("path", _name(header)).decode("utf-8", "surrogateescape").removeprefix("./").lstrip("/")
            if offset + size > length:
                raise UnfitError(
                    f"is cut off at byte {length:,}: its member {name} at byte {at:,} goes on behind the file's end"
                )
            yield Member(name, kind, offset, size)
        at = offset + -(-size // BLOCK) * BLOCK
    _require_nothing_behind(descriptor, at)


def _read(descriptor: int, size: int, at: int) -> bytes:
    data = os.pread(descriptor, size, at)
    if len(data) < size:
        end = os.fstat(descriptor).st_size
        raise UnfitError(f"is cut off at byte {end:,}, before the mark of a tar file's end")
    return data


def _is_header(block: bytes) -> bool:
    """Whether the checksum is right: the sum of all bytes, its own eight taken for spaces."""
    text = block[148:156].strip(b" \0")
    is_octal = bool(text) and not text.strip(b"01234567")
    return len(block) == BLOCK and is_octal and int(text, 8) == sum(block) - sum(block[148:156]) + 8 * ord(" ")


def _require_uncompressed(begin: bytes) -> None:
    for magic, command in _COMPRESSED.items():
        if begin.startswith(magic):
            raise UnfitError("is compressed, so that no image can be read by itself", f"unpack it with {command}")


def _require_nothing_behind(descriptor: int, end: int) -> None:
    """After the end may come padding or rubbish, which tar ignores, but no images that someone counts on."""
    behind = os.pread(descriptor, _LOOK_BEHIND_END, end)
    second = (len(behind) - len(behind.lstrip(b"\0"))) // BLOCK * BLOCK
    if _is_header(behind[second : second + BLOCK]):
        raise UnfitError(
            f"holds a second archive from byte {end + second:,} on, and tar reads no further than the end of the first",
            "join tar files with tar --concatenate, not with cat",
        )


def _number(field: bytes, at: int) -> int:
    """Octal digits or, of what is too large for them, GNU's binary with the first bit set."""
    if field[0] & 0x80:
        return int.from_bytes(field) & ~(0x80 << 8 * (len(field) - 1))
    digits = field.partition(b"\0")[0].strip() or b"0"
    if digits.strip(b"01234567"):
        raise UnfitError(f"is damaged: the header at byte {at:,} has no size")
    return int(digits, 8)


def _decimal(text: bytes, at: int) -> int:
    if not text.isdigit():
        raise UnfitError(f"is damaged: the header at byte {at:,} has no size")
    return int(text)


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0]
    is_posix = header[257:263] == b"ustar\0"  # GNU tar keeps other things where the prefix is
    return prefix + b"/" + name if is_posix and prefix else name


def _records(body: bytes, at: int) -> dict[str, bytes]:
    """Pax records, "LENGTH KEY=VALUE" and a newline each; the length is that of the whole record in bytes."""
    found = {}
    while body.strip(b"\0"):
        digits = body.partition(b" ")[0]
        end = _decimal(digits, at)
        key, equals, value = body[len(digits) + 1 : end].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise UnfitError(f"is damaged: the extended header at byte {at:,} holds no records")
        found[key.decode("utf-8", "replace")] = value[:-1]
        body = body[end:]
    return found
