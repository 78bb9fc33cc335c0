"""Whether a cache fits into memory or onto a disk: found out before anything is written."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from cyclegan.errors import DataError

SHARE = {"ram": 0.8, "disk": 0.95}
"""How much of what is free a cache may take: training needs memory and checkpoints as well."""

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")


class Room(NamedTuple):
    """Bytes that are free, whose they are, and how to get more of them."""

    free: int
    of: str
    remedy: str


def require_room(kind: Literal["ram", "disk"], need: int, folder: Path | None) -> None:
    """Refuses a cache that does not fit. Where nothing can be found out (memory, on macOS), it is let pass.

    Args:
        kind: where it is to lie.
        need: its bytes.
        folder: whose file system it is to lie on; None for memory that lies on none.

    Raises:
        DataError: telling what is needed, what is free, and what to do.
    """
    rooms = [*(_memory() if kind == "ram" else ()), *([] if folder is None else [_file_system(kind, need, folder)])]
    room = min(rooms, default=None)
    if room is None or need <= room.free * SHARE[kind]:
        return
    part = room.free * SHARE[kind] / need
    images, length = int(100 * part), int(100 * math.sqrt(part))
    raise DataError(
        f"data.cache={kind} needs {as_size(need)}; {room.of} has {as_size(room.free)} free, of which a cache may take "
        f"{SHARE[kind]:.0%}. Set data.cache={_other(kind)} or none; or keep {images}% of the images "
        f"(data.max_images), or all at {length}% of their height and width (data.load_size); or {room.remedy}"
    )


def refused(kind: Literal["ram", "disk"], need: int, error: OSError) -> DataError:
    """The error to raise when the system does not give the room that it seemed to have."""
    return DataError(
        f"data.cache={kind} needs {as_size(need)}, and the system refuses them: {error.strerror}. "
        f"Set data.cache={_other(kind)} or none, or keep fewer images (data.max_images) or smaller (data.load_size)"
    )


def _other(kind: str) -> str:
    return {"ram": "disk", "disk": "ram"}[kind]


def as_size(size: float) -> str:
    """Bytes for people to read: 589 MB."""
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        number = size / bytes_of
        if number >= 1:
            return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
    return f"{size:.0f} bytes"


def _file_system(kind: str, need: int, folder: Path) -> Room:
    usage = shutil.disk_usage(folder)
    if kind == "disk":
        return Room(usage.free, f"the disk of {folder}", "choose data.cache_dir on another, or remove old caches there")
    wanted = math.ceil((usage.total - usage.free + need / SHARE[kind]) / 2**30)
    return Room(usage.free, str(folder), f"enlarge it (in a container: docker run --shm-size={wanted}g)")


def _memory() -> Iterator[Room]:
    """What is free of the machine's memory, and of what this process's control groups may use of it."""
    available = _metrics(PROC / "meminfo").get("MemAvailable:")
    if available is not None:
        yield Room(available * 1024, "the memory of this machine", "use one with more memory")
    remedy = "raise its limit (docker run --memory, sbatch --mem)"
    for folder, limit_file, usage_file, prefix in _control_groups():
        limit, usage = _number(folder / limit_file), _number(folder / usage_file)
        if limit is None or usage is None:  # "max"
            continue
        stat = _metrics(folder / "memory.stat")
        # Files that were read count as used, and are given up as soon as somebody needs the memory.
        given_up = stat.get(f"{prefix}active_file", 0) + stat.get(f"{prefix}inactive_file", 0)
        yield Room(max(limit - max(usage - given_up, 0), 0), "the memory of this container or job", remedy)


def _control_groups() -> Iterator[tuple[Path, str, str, str]]:
    """Folders of the groups this process is in, up to the root, with their files' names (version 2, then 1)."""
    for line in _lines(PROC / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, files = CGROUP, ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            mount, files = CGROUP / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        # A container often sees only its own group, as the root, while the path still counts from the machine's.
        inner = Path(path.lstrip("/"))
        for part in (inner, *inner.parents):
            if ".." not in part.parts:
                yield mount / part, *files


def _metrics(path: Path) -> dict[str, int]:
    """The numbers of a file with a name and a number in each line."""
    return {words[0]: int(words[1]) for words in map(str.split, _lines(path)) if len(words) > 1}


def _number(path: Path) -> int | None:
    text = "".join(_lines(path))
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
