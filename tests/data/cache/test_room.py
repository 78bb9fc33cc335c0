"""Whether a cache fits: what is read of the system, and what is said."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cyclegan.data.cache import Plan, in_ram, on_disk, ram, require_room, room
from cyclegan.errors import DataError

GB = 10**9
Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine of which only this is known: the text of files below /proc and /sys/fs/cgroup."""
    monkeypatch.setattr(room, "PROC", tmp_path / "proc")
    monkeypatch.setattr(room, "CGROUP", tmp_path / "sys" / "fs" / "cgroup")

    def write(texts: dict[str, str]) -> None:
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return write


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Every file system has so many bytes, and so many free."""

    def set_free(total: int, free: int) -> None:
        status = SimpleNamespace(f_frsize=1, f_blocks=total, f_bfree=free, f_bavail=free)
        monkeypatch.setattr(os, "statvfs", lambda _: status)

    return set_free


def meminfo(available: int) -> dict[str, str]:
    return {
        "proc/meminfo": f"MemTotal: 99999999 kB\nMemFree: 5 kB\nMemAvailable: {available // 1024} kB\nHugePages: 0\n"
    }


def refusal(kind: str, need: int, folder: Path | None = None) -> str:
    with pytest.raises(DataError) as error:
        require_room(kind, need, folder)  # type: ignore[arg-type]
    return str(error.value)


def test_of_the_machines_memory_a_cache_may_take_four_fifths(machine: Machine) -> None:
    machine(meminfo(10_240_000_000))
    require_room("ram", 8_192_000_000, None)
    assert refusal("ram", 32_768_000_000) == (
        "data.cache=ram needs 32.8 GB; the memory of this machine has 10.2 GB free, of which a cache may take 80%. "
        # A quarter of the bytes are a quarter of the images, or all of half the height and half the width.
        "Set data.cache=disk or none; or keep 25% of the images (data.max_images), or all at 50% of their height "
        "and width (data.load_size); or use one with more memory"
    )
    refusal("ram", 8_192_000_001)


def test_a_container_has_less_than_its_machine(machine: Machine) -> None:
    machine(meminfo(100 * GB))
    machine(
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{10 * GB}\n",
            "sys/fs/cgroup/memory.current": f"{7 * GB}\n",
            # Of the seven in use, two are files that were read: they go when others need the memory.
            "sys/fs/cgroup/memory.stat": f"anon {5 * GB}\nfile {3 * GB}\ninactive_file {GB}\nactive_file {GB}\n",
        }
    )
    require_room("ram", 4 * GB, None)
    assert "the memory of this container or job has 5 GB free" in refusal("ram", 4 * GB + 1)
    assert "docker run --memory, sbatch --mem" in refusal("ram", 4 * GB + 1)


def test_the_narrowest_group_counts(machine: Machine) -> None:
    machine(
        {
            "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
            "sys/fs/cgroup/slurm/job_7/step_0/memory.max": "max\n",
            "sys/fs/cgroup/slurm/job_7/step_0/memory.current": "5\n",
            "sys/fs/cgroup/slurm/job_7/memory.max": f"{5 * GB}\n",
            "sys/fs/cgroup/slurm/job_7/memory.current": "0\n",
            "sys/fs/cgroup/slurm/memory.max": f"{20 * GB}\n",
            "sys/fs/cgroup/slurm/memory.current": "0\n",
        }
    )
    require_room("ram", 4 * GB, None)
    assert "has 5 GB free" in refusal("ram", 4 * GB + 1)


@pytest.mark.parametrize("where", ["sys/fs/cgroup/memory/docker/abc", "sys/fs/cgroup/memory"])
def test_groups_of_version_1(machine: Machine, where: str) -> None:
    """Inside a container, the path that counts from the machine's root is often not there."""
    machine(
        {
            "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/docker/abc\n3:cpuset:/x\n0::/\n",
            f"{where}/memory.limit_in_bytes": f"{6 * GB}\n",
            f"{where}/memory.usage_in_bytes": f"{3 * GB}\n",
            f"{where}/memory.stat": f"active_file 7\ntotal_inactive_file {GB}\ntotal_active_file {GB}\n",
        }
    )
    require_room("ram", 4 * GB, None)
    assert "has 5 GB free" in refusal("ram", 4 * GB + 1)


def test_a_group_without_limit_and_one_outside_say_nothing(machine: Machine) -> None:
    machine(
        {
            "proc/self/cgroup": "0::/../../other\n",
            "sys/fs/cgroup/memory.max": "max\n",
            "sys/fs/cgroup/memory.current": "1\n",
        }
    )
    require_room("ram", 10**15, None)


def test_a_full_group_has_nothing(machine: Machine) -> None:
    machine(
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "1000\n",
            "sys/fs/cgroup/memory.current": "2000\n",
        }
    )
    assert "has 0 bytes free" in refusal("ram", 1)


def test_where_nothing_is_known_it_is_let_pass(machine: Machine) -> None:
    """macOS has neither of these."""
    require_room("ram", 10**15, None)


def test_shared_memory_of_a_container_is_small(
    machine: Machine, disk: Callable[[int, int], None], tmp_path: Path
) -> None:
    machine(meminfo(100 * GB))
    disk(64 * 2**20, 60 * 2**20)
    text = refusal("ram", 8 * 2**30, tmp_path)
    assert f"{tmp_path} has 62.9 MB free" in text
    assert "docker run --shm-size=11g" in text  # 8 GiB are 80% of 10, and 4 MiB are used


def test_on_disk_a_little_is_left(disk: Callable[[int, int], None], tmp_path: Path) -> None:
    disk(500 * GB, 100 * GB)
    require_room("disk", 95 * GB, tmp_path)
    assert refusal("disk", 190 * GB, tmp_path) == (
        f"data.cache=disk needs 190 GB; the disk of {tmp_path} has 100 GB free, of which a cache may take 95%. "
        "Set data.cache=ram or none; or keep 50% of the images (data.max_images), or all at 70% of their height "
        "and width (data.load_size); or choose data.cache_dir on another, or remove old caches there"
    )


def test_all_domains_are_counted_together_and_those_that_are_there_are_not(
    disk: Callable[[int, int], None], tmp_path: Path
) -> None:
    a, b = (Plan.equal(f"test-{name}", 10, (3, 100, 100), "uint8") for name in "ab")  # 301 kB each
    disk(10**6, 400_000)
    with pytest.raises(DataError, match="needs 602 kB"):
        on_disk({"A": a, "B": b}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    on_disk({"A": a}, tmp_path)
    disk(10**6, 320_000)
    on_disk({"A": a, "B": b}, tmp_path)
    disk(10**6, 0)
    on_disk({"A": a, "B": b}, tmp_path)


def test_in_memory_too(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (Plan.equal(f"test-{name}", 10, (3, 100, 100), "uint8") for name in "ab")
    machine(meminfo(500_000))
    with pytest.raises(DataError, match=r"data\.cache=ram needs 602 kB; the memory of this machine has 500 kB free"):
        in_ram({"A": a, "B": b})
    machine(meminfo(800_000))
    first = in_ram({"A": a, "B": b})
    machine(meminfo(0))
    second = in_ram({"A": a, "B": b})  # attaches
    assert second["A"].filled == first["A"].filled == 0


@pytest.mark.parametrize("has_memfd", [True, False])
def test_the_size_of_dev_shm_counts_only_where_it_has_to(
    machine: Machine, disk: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch, has_memfd: bool
) -> None:
    monkeypatch.setattr(ram, "HAS_MEMFD", has_memfd)
    disk(64 * 2**20, 0)
    plan = Plan.equal("test-shm", 10, (3, 100, 100), "uint8")
    if has_memfd:
        in_ram({"A": plan})
    else:
        with pytest.raises(DataError, match="--shm-size=1g"):
            in_ram({"A": plan})


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (999_600_000, "1000 MB"), (1.5e13, "15000 GB")],
)
def test_sizes(size: float, text: str) -> None:
    assert room.as_size(size) == text
