"""Unpacks a data set's archive as if a stranger had made it: all of it is checked first, then it appears at once.

What can be wrong with a zip, and why it is looked for: names that lead out of the folder, links and special files,
and archives of a few kilobytes that unpack to more than a disk holds.
"""

import re
import shutil
import stat
import uuid
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cyclegan.data.file_list import find_files
from cyclegan.errors import DataError, UserError
from cyclegan.files import damage


class ArchiveError(UserError):
    """The archive is not what it should be; the text says what was found."""


class DamagedArchiveError(ArchiveError):
    """The archive did not arrive whole; another download may help."""


@dataclass(frozen=True)
class Limits:
    """The most that an archive may unpack to. The defaults are several times what the published sets need.

    Args:
        members: files and folders.
        file_bytes: one file.
        total_bytes: all files together.
        ratio: all files together to the archive as it lies on disk. Images are packed already and come out at
            little more than 1; overlapping members, which share their packed bytes, are caught too.
    """

    members: int = 200_000
    file_bytes: int = 200 * 2**20
    total_bytes: int = 20 * 2**30
    ratio: float = 20.0


def unpack(archive: Path, target: Path, counts: Mapping[str, int], limits: Limits | None = None) -> None:
    """Unpacks a data set into the folder `target`, which appears whole or not at all.

    The images may be at the top of the archive or in a folder named as `target`; what is beside that folder is
    left out.

    Args:
        archive: a zip file.
        target: a folder that does not exist or is empty.
        counts: images that each folder must hold, such as trainA.
        limits: the default is Limits().

    Raises:
        DamagedArchiveError: the archive does not agree with its checksums, or is no zip.
        ArchiveError: a member is unsafe, the archive too large, or the images are not as many as they should be.
        OSError: it could not be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DamagedArchiveError(f"{archive.name} is no whole zip archive: {error}") from error
    # Before anything is decompressed: to read a bomb through takes long, even where nothing is written.
    for member in members:
        require_safe(member, archive.name)
    require_within(members, archive, limits or Limits())
    if reason := damage(archive):
        raise DamagedArchiveError(f"{archive.name} is damaged: {reason}")

    workshop = target.parent / f".{target.name}-{uuid.uuid4().hex[:8]}"
    workshop.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                _extract(opened, member, workshop)
        inner = workshop / target.name
        made = inner if inner.is_dir() else workshop
        found = count_images(made, counts)
        if found != dict(counts):
            raise ArchiveError(
                f"{archive.name} holds {as_text(found)} images, and {as_text(counts)} are expected: it is another "
                "data set or another version; nothing was unpacked"
            )
        if target.is_dir():
            target.rmdir()
        made.rename(target)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def require_safe(member: zipfile.ZipInfo, archive: str) -> None:
    """Refuses a member that could be written anywhere but below the folder, or that is no file and no folder.

    Raises:
        ArchiveError: naming the member and what is wrong with it.
    """
    name = member.orig_filename  # `filename` is cut at a NUL and has had its separators replaced
    parts = name.split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was made without Unix modes
    if not name or "\0" in name:
        wrong = "a name that is empty or holds a NUL"
    elif name.startswith("/"):
        wrong = "an absolute path"
    elif ".." in parts:
        wrong = "a path that leads upwards"
    elif "\\" in name:
        wrong = "a path with backslashes"
    elif any(re.match(r"[A-Za-z]:", part) for part in parts):  # 12:30:01.jpg is a name
        wrong = "a path with a drive letter"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        wrong = "a symbolic link" if kind == stat.S_IFLNK else "a special file"
    elif member.flag_bits & 0x1:
        wrong = "an encrypted file"
    else:
        return
    raise ArchiveError(f"{archive} is not safe to unpack: its member {name!r} is {wrong}; nothing was unpacked")


def require_within(members: list[zipfile.ZipInfo], archive: Path, limits: Limits) -> None:
    """Refuses an archive that would unpack to more than `limits`, and one that names a file twice.

    The sizes that the members declare can be relied on: zipfile reads no further than that.

    Raises:
        ArchiveError: naming the limit.
    """
    largest = max((member.file_size for member in members), default=0)
    total = sum(member.file_size for member in members)
    packed = archive.stat().st_size
    for what, found, most in (
        ("members", len(members), limits.members),
        ("bytes in one file", largest, limits.file_bytes),
        ("bytes in all", total, limits.total_bytes),
        ("times the size of the archive", total / packed, limits.ratio),
    ):
        if found > most:
            raise ArchiveError(
                f"{archive.name} would unpack to {found:,.0f} {what}, and the most that is unpacked is {most:,.0f}; "
                "nothing was unpacked"
            )
    for name, times in Counter(PurePosixPath(member.filename) for member in members).items():
        if times > 1:
            raise ArchiveError(f"{archive.name} is not safe to unpack: it holds {name} {times}×; nothing was unpacked")


def count_images(root: Path, folders: Mapping[str, int]) -> dict[str, int]:
    """How many images training would find in each of the folders, 0 where there is no such folder."""
    found = {}
    for folder in folders:
        try:
            found[folder] = len(find_files(root / folder))
        except DataError:
            found[folder] = 0
    return found


def as_text(counts: Mapping[str, int]) -> str:
    """Counts as the documentation writes them: 1067 / 1334 / 120 / 140."""
    return " / ".join(str(count) for count in counts.values())


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    """Writes one member; the archive's permissions and times are not taken over."""
    path = folder / PurePosixPath(member.filename)
    if member.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, path.open("xb") as file:
        shutil.copyfileobj(source, file, 2**20)
