"""Tar files for tests, made by the standard library."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

FORMATS: dict[str, Literal[0, 1, 2]] = {
    "ustar": tarfile.USTAR_FORMAT,
    "gnu": tarfile.GNU_FORMAT,
    "pax": tarfile.PAX_FORMAT,
}


def write_tar(path: Path, members: Mapping[str, bytes], kind: str = "pax") -> Path:
    """A tar file of regular files, of one of the FORMATS."""
    with tarfile.open(path, "w", format=FORMATS[kind]) as tar:
        for name, body in members.items():
            add(tar, tarfile.TarInfo(name), body)
    return path


def add(tar: tarfile.TarFile, member: tarfile.TarInfo, body: bytes = b"") -> None:
    """Appends a member with these bytes."""
    member.size = len(body)
    tar.addfile(member, io.BytesIO(body))
