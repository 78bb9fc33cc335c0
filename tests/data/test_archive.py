import gzip
import io
import os
import pickle
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cyclegan.data import archive as module
from cyclegan.data.archive import OPEN_FILES, Shards, are_shards, load_index, scan, shard_files
from cyclegan.data.file_list import ImageSource
from cyclegan.errors import DataError
from cyclegan.images import ImageError, PixelFormat
from tests.data.image_folders import touch

SHARDS, IMAGES = 7, 9


@pytest.fixture(autouse=True)
def close_shards() -> Iterator[None]:
    yield
    module._open.cache_clear()


def add(tar: tarfile.TarFile, member: tarfile.TarInfo, data: bytes = b"") -> None:
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_tar(path: Path, members: Mapping[str, bytes], kind: Literal[0, 1, 2] = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind, errors="surrogateescape") as tar:
        for name, data in members.items():
            add(tar, tarfile.TarInfo(name), data)
    return path


def open_shards(source: str | Path) -> Shards:
    return Shards(shard_files(source))


def paths_of(images: Shards) -> list[str]:
    return [images[index] for index in range(len(images))]


def files_of(images: Shards) -> list[bytes]:
    return [images.open(index) for index in range(len(images))]


def content(key: str) -> bytes:
    """Of another length and content for every key."""
    return key.encode() * (1 + sum(key.encode()) % 300)


def write_shards(folder: Path, counts: list[int]) -> Shards:
    folder.mkdir(parents=True, exist_ok=True)
    for number, count in enumerate(counts):
        members: dict[str, bytes] = {}
        for image in range(count):
            key = f"{number}/{image:03}"
            members |= {f"{key}.jpg": content(key), f"{key}.json": b"{}"}
        write_tar(folder / f"a-{number:03}.tar", members)
    return open_shards(folder)


def test_shards_list_and_read_every_image_in_order(tmp_path: Path) -> None:
    found = write_shards(tmp_path, [2, 0, 3])
    source: ImageSource = found  # for mypy
    keys = ["0/000", "0/001", "2/000", "2/001", "2/002"]
    assert (len(source), source.label, source.skipped) == (5, "", {".json": 5})
    for each in (found, pickle.loads(pickle.dumps(found))):
        assert files_of(each) == [content(key) for key in keys]
        assert paths_of(each) == [f"{tmp_path}/a-00{key[0]}.tar/{key}.jpg" for key in keys]
    with pytest.raises(IndexError):
        found.open(len(found))


def test_names_do_not_depend_on_where_the_shards_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a-000.tar/0/000.jpg", "a-001.tar/1/000.jpg", "a-001.tar/1/001.jpg"]
    assert list(write_shards(tmp_path / "day", [1, 2]).names()) == names
    write_shards(tmp_path / "night", [1])
    monkeypatch.chdir(tmp_path)
    assert list(open_shards("day/a-*.tar").names()) == names
    assert list(open_shards("{day,night}/a-000.tar").names()) == [f"{each}/{names[0]}" for each in ("day", "night")]


def test_a_second_start_scans_only_shards_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_shards(tmp_path, [3, 4])
    write_tar(tmp_path / "a-001.tar", {"new.png": b"new"})
    assert files_of(open_shards(tmp_path)) == [content("0/000"), content("0/001"), content("0/002"), b"new"]
    monkeypatch.setattr(module, "scan", lambda path: pytest.fail(f"{path} was scanned again"))
    assert paths_of(open_shards(tmp_path)) == [*paths_of(first)[:3], f"{tmp_path}/a-001.tar/new.png"]


def test_an_index_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "replacing", read_only)
    with pytest.warns(UserWarning, match=r"no index can be written to .* \(Permission denied\): its shards are scan"):
        found = write_shards(tmp_path, [3, 4])
    assert found.open(6) == content("1/003")
    assert not list(tmp_path.glob("*.index"))


def test_an_index_that_is_stale_or_damaged_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_tar(tmp_path / "a.tar", {"é.jpg": b"one", "2.jpg": b"other", "2.json": b"{}"}))
    Shards([path])
    saved, intact = Path(path + ".index"), str(scan(path))

    def loads() -> bool:
        found = load_index(path)
        assert found is None or str(found) == intact
        return found is not None

    assert loads()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tar", "a.tar.index"]
    with monkeypatch.context() as patch:  # a version that reads other kinds of images has to look for them
        patch.setattr(module, "IMAGE_SUFFIXES", frozenset({".jpg", ".json"}))
        assert not loads()
    data = saved.read_bytes()
    for damaged in (b"", data[: len(data) // 2], data.replace("é".encode(), b"ee")):
        saved.write_bytes(damaged)
        assert not loads()
    saved.write_bytes(data)
    os.utime(path, ns=(1, 1))
    assert not loads()


def test_shards_without_images_are_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"a.json": b"{}", "b.json": b"{}", "notes": b""})
    with pytest.raises(DataError, match=r"no image in .*a\.tar \(found: \.json ×2, no extension ×1\)"):
        open_shards(tmp_path)


def test_a_shard_that_is_removed_replaced_or_cut_during_a_run_is_an_error(tmp_path: Path) -> None:
    found = write_shards(tmp_path, [3, 4, 2])
    (tmp_path / "a-000.tar").unlink()
    with pytest.raises(ImageError, match=r"a-000\.tar/0/001\.jpg: the shard cannot be read \(No such file"):
        found.open(1)
    os.utime(tmp_path / "a-001.tar", ns=(0, 0))
    with pytest.raises(DataError, match=r"a-001\.tar has changed since the start of the run"):
        found.open(3)
    assert found.open(7) == content("2/000")
    os.truncate(tmp_path / "a-002.tar", 2048)
    with pytest.raises(ImageError, match=r"a-002\.tar/2/001\.jpg: 0 of \d+ bytes exist"):
        found.open(8)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_few_files_are_open_and_none_that_is_in_use_is_closed(tmp_path: Path) -> None:
    found = write_shards(tmp_path, [1] * (OPEN_FILES + 5))
    in_use = module._open(found.paths[0], found._stamps[0])
    assert files_of(found) == [content(f"{index}/000") for index in range(len(found))]
    links = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    assert sum(link.startswith(str(tmp_path)) for link in links) == OPEN_FILES + 1
    assert os.pread(in_use.descriptor, 5, 0) == b"0/000"


def test_a_subset_has_the_images_at_its_indices(tmp_path: Path) -> None:
    found = write_shards(tmp_path, [3, 4, 2])
    part = found.subset(np.array([8, 1, 4]))
    assert paths_of(part) == [found[8], found[1], found[4]]
    assert list(part.names()) == [list(found.names())[index] for index in (8, 1, 4)]
    assert part.open(2) == found.open(4)
    assert part.subset(np.array([2, 0]))[0] == found[4]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Shards]:
    """The same shards, by window."""
    first = write_shards(tmp_path_factory.mktemp("many"), [IMAGES] * SHARDS)
    return {window: Shards(first.paths, window) for window in range(1, SHARDS + 2)}


@settings(max_examples=25)
@given(
    st.integers(1, SHARDS + 1),
    st.lists(st.integers(0, SHARDS * IMAGES - 1), unique=True, min_size=1),
    st.integers(0, 2**32 - 1),
)
def test_an_order_depends_on_the_seed_alone_and_uses_few_shards_at_a_time(
    many: dict[int, Shards], window: int, chosen: list[int], seed: int
) -> None:
    images = many[window].subset(np.array(chosen))
    order = images.order(np.random.default_rng(seed))
    assert order.dtype == np.int32
    assert sorted(order.tolist()) == list(range(len(chosen)))
    images.order(np.random.default_rng(seed + 1))
    assert images.order(np.random.default_rng(seed)).tolist() == order.tolist()
    shard = [images[index].split("/a-")[1][:3] for index in order]
    first = {each: shard.index(each) for each in shard}
    last = {each: position for position, each in enumerate(shard)}
    for position in range(len(shard)):  # a shard is in use from its first image to its last
        assert sum(first[each] <= position <= last[each] for each in first) <= window


def test_windows_are_of_about_equal_size(many: dict[int, Shards]) -> None:
    """Seven shards in windows of at most 6 are 3 + 4 and not 6 + 1, of which the one would not be mixed."""
    order = many[6].order(np.random.default_rng(0)) // IMAGES
    assert len(set(order[: 3 * IMAGES].tolist())) == 3
    assert len(set(order[3 * IMAGES :].tolist())) == 4


def test_images_of_a_window_are_mixed_uniformly(many: dict[int, Shards]) -> None:
    """Every order of three images of two shards comes up equally often: 6 orders, 100 times each, ±5 sigma."""
    images = many[2].subset(np.array([0, 1, IMAGES]))
    seen: dict[tuple[int, ...], int] = {}
    for seed in range(600):
        key = tuple(images.order(np.random.default_rng(seed)).tolist())
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 6
    assert all(abs(count - 100) < 5 * (100 * 5 / 6) ** 0.5 for count in seen.values())


def test_shards_come_in_another_order_in_each_pass(many: dict[int, Shards]) -> None:
    rng = np.random.default_rng(0)
    passes = [tuple(dict.fromkeys((many[1].order(rng) // IMAGES).tolist())) for _ in range(20)]
    assert all(one != other for one, other in pairwise(passes))


def test_a_header_is_read_from_the_first_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TIFF may have its header after its pixels: then the whole file is read."""
    png, tiff = io.BytesIO(), io.BytesIO()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (2000, 100), np.uint8))
    image.save(png, "PNG")
    image.save(tiff, "TIFF")
    found = Shards([write_tar(tmp_path / "a.tar", {"a.png": png.getvalue(), "b.tif": tiff.getvalue(), "c.png": b"x"})])
    sizes: list[int] = []
    pread = os.pread

    def counted(file: int, count: int, at: int) -> bytes:
        sizes.append(count)
        return pread(file, count, at)

    monkeypatch.setattr(os, "pread", counted)
    for index in (0, 1):
        header = found.header(index, PixelFormat(1))
        assert (header.width, header.height) == (100, 2000)
    assert sizes[0] <= 2**16
    with pytest.raises(ImageError, match=r"a\.tar/c\.png"):
        found.header(2, PixelFormat(1))


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_format_keeps_unusual_names(tmp_path: Path, kind: Literal[0, 1, 2]) -> None:
    names = ["é/ü.jpg", "n" * 96 + ".jpg", "f" * 90 + "/" + "n" * 96 + ".jpg", "caf\udce9.jpg"]
    path = write_tar(tmp_path / "a.tar", dict.fromkeys(["./a.jpg", "/b.jpg", *names], b"content"), kind)
    assert [name.removeprefix("a.tar/") for name in Shards([path]).names()] == ["a.jpg", "b.jpg", *names]


def test_a_scan_finds_images_and_counts_the_other_members(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind, name in [(tarfile.DIRTYPE, "x.jpg"), (tarfile.SYMTYPE, "s.jpg"), (tarfile.LNKTYPE, "h.jpg")]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "b.JPG"
            tar.addfile(member)
        sparse = tarfile.TarInfo("holes.tif")
        sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        add(tar, sparse, b"1\n0\n512\n".ljust(1024, b"\0"))
        for name in ["b.JPG", "a.input.png", "a.json", "b.json", "._a.jpg", ".cache/a.jpg", "notes", "c.tif", "c.tif"]:
            add(tar, tarfile.TarInfo(name), name.encode())
    found = scan(str(tmp_path / "a.tar"))
    assert found.images["name"].tolist() == [b"b.JPG", b"a.input.png", b"c.tif"]
    counts = {"link, device or sparse file": 3, ".json": 2, "hidden": 2, "no extension": 1, "replaced": 1}
    assert found.skipped == counts
    data = (tmp_path / "a.tar").read_bytes()
    assert [data[o : o + n] for _, o, n, _ in found.images.tolist()] == found.images["name"].tolist()


def test_a_shard_that_is_cut_off_or_damaged_anywhere_is_refused(tmp_path: Path) -> None:
    """tarfile alone treats a damaged header as the end of the archive."""
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"first", "b.jpg": b"x" * 600})
    data, end = path.read_bytes(), 5 * 512  # a header and one block, a header and two
    intact = scan(str(path)).images.tolist()
    for length in range(0, end + 512, 128):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"(no intact tar file|damaged, cut off or joined at byte).*copy it again"):
            scan(str(path))
    for at in range(1024, 1536, 7):  # the second header
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(DataError, match=r"damaged, cut off or joined at byte 1,024"):
            scan(str(path))
    path.write_bytes(data[: end + 512])
    assert scan(str(path)).images.tolist() == intact


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data + data, r"joined at byte .* or join tar files with tar --concatenate"),
        (gzip.compress, r"no intact tar file \(.*\): unpack it if it is compressed"),
    ],
)
def test_joined_and_compressed_shards_are_refused(tmp_path: Path, change: Callable[[bytes], bytes], words: str) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"first"})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=words):
        open_shards(tmp_path)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("shards", "a-000 a-001 a-010 b-000"),
        ("shards/a-001.tar", "a-001"),
        ("shards/a-*", "a-000 a-001 a-010"),
        ("shards/a-{000..001}.tar", "a-000 a-001"),
        ("shards/{b,a}-{000..000}.tar", "a-000 b-000"),
        ("shards/**/c.tar", "deep/c"),
    ],
)
def test_shards_are_given_by_folder_file_or_pattern(tmp_path: Path, source: str, expected: str) -> None:
    names = ["a-000.tar", "a-001.tar", "a-010.tar", "b-000.tar", "deep/c.tar", ".hidden.tar", "a-000.tar.index"]
    touch(tmp_path / "shards", *names)
    assert shard_files(tmp_path / source) == [f"{tmp_path}/shards/{name}.tar" for name in expected.split()]


def test_shards_that_do_not_exist_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a-1.tar")
    with pytest.raises(DataError, match=r"2 of 3 tar files do not exist: .*/a-2\.tar, .*/a-3\.tar\. Shards are read"):
        shard_files(tmp_path / "a-{1..3}.tar")


@pytest.mark.parametrize(
    ("existing", "source", "answer"),
    [
        ("a.tar a.tar.index notes.txt", "folder", True),
        ("a.tar b.jpg", "folder", False),  # an archive beside the images unpacked from it
        ("a.tar day/b.jpg", "folder", False),
        ("", "folder/a-{000..099}.tar", True),
        ("", "folder/a-*.TAR", True),
        ("", "folder/a.tar.gz", True),
        ("", "folder/*.jpg", False),
    ],
)
def test_shards_are_distinguished_from_image_files(tmp_path: Path, existing: str, source: str, answer: bool) -> None:
    touch(tmp_path / "folder", *existing.split())
    assert are_shards(str(tmp_path / source)) is answer
