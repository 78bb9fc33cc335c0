import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cyclegan.data.sources.tar_members import Member, UnfitError, members
from tests.data.sources.tars import FORMATS, add, write_tar

TWO = {"a.jpg": b"first", "b.jpg": b"x" * 600}
# Header and one block of data, header and two blocks: then the two blocks of zeros that end a tar file.
END_OF_TWO = 5 * 512


def members_of(path: Path) -> list[Member]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return list(members(descriptor, path.stat().st_size))
    finally:
        os.close(descriptor)


def as_tarfile_sees(path: Path) -> list[Member]:
    with tarfile.open(path) as tar:
        return [Member(each.name, each.type, each.offset_data, each.size) for each in tar]


parts = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40)
names = st.lists(parts, min_size=1, max_size=8).map("/".join).filter(lambda name: not name.startswith("."))


@pytest.mark.parametrize("kind", ["gnu", "pax"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(names, st.binary(max_size=1100), max_size=4))
def test_finds_what_tarfile_finds(tmp_path: Path, kind: str, bodies: dict[str, bytes]) -> None:
    path = write_tar(tmp_path / "a.tar", bodies, kind)
    found = members_of(path)
    assert found == as_tarfile_sees(path)
    data = path.read_bytes()
    assert {name: data[offset : offset + size] for name, _, offset, size in found} == bodies


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "name",
    ["a.jpg", "é/ü.jpg", "n" * 100, "n" * 96 + ".jpg", "folder/" * 20 + "a.jpg", "f" * 120 + "/" + "n" * 99],
    ids=len,
)
def test_names_of_every_length(tmp_path: Path, kind: str, name: str) -> None:
    """Ustar holds 100 bytes, or 155 more before a slash; the others put longer ones before the header."""
    path = write_tar(tmp_path / "a.tar", {name: b"body", "next.jpg": b""}, kind)
    assert [member.name for member in members_of(path)] == [name, "next.jpg"]


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_names_that_are_no_utf8_come_back_to_their_bytes(tmp_path: Path, kind: str) -> None:
    name = b"f\xfcr.jpg".decode("utf-8", "surrogateescape")
    with tarfile.open(tmp_path / "a.tar", "w", format=FORMATS[kind], errors="surrogateescape") as tar:
        add(tar, tarfile.TarInfo(name), b"body")
    assert members_of(tmp_path / "a.tar")[0].name == name


def test_names_are_relative(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"./a.jpg": b"", "/data/b.jpg": b""})
    assert [member.name for member in members_of(path)] == ["a.jpg", "data/b.jpg"]


def test_gnu_keeps_other_things_where_posix_has_the_prefix(tmp_path: Path) -> None:
    """`tar --incremental` writes the time of last access there."""
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.GNU_FORMAT))
    header[345:357] = b"14700000000\0"
    (tmp_path / "a.tar").write_bytes(with_checksum(header) + bytes(1024))
    assert [member.name for member in members_of(tmp_path / "a.tar")] == ["a.jpg"]


def with_checksum(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_a_size_that_octal_digits_do_not_hold(tmp_path: Path, kind: str) -> None:
    """Twelve bytes of octal digits end at 8 GiB; GNU then writes binary, pax a record."""
    size, path = 9 * 2**30, tmp_path / "a.tar"
    huge, small = tarfile.TarInfo("huge.tif"), tarfile.TarInfo("small.tif")
    huge.size = size
    with path.open("wb") as file:  # 9 GiB of hole, which take no space
        begin = file.write(huge.tobuf(FORMATS[kind]))
        file.seek(size, os.SEEK_CUR)
        file.write(small.tobuf())
        file.write(bytes(1024))
    assert [member[2:] for member in members_of(path)] == [(begin, size), (begin + size + 512, 0)]


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_what_has_no_data_is_stepped_over(tmp_path: Path, kind: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=FORMATS[kind]) as tar:
        for flag in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"kind{flag.decode()}")
            member.type, member.linkname, member.size = flag, "l" * 200, 4096  # of a link, tar may note the file's size
            tar.addfile(member)
        add(tar, tarfile.TarInfo("a.jpg"), b"body")
    found = members_of(tmp_path / "a.tar")
    assert [(member.kind, member.size) for member in found] == [
        (flag, 0) for flag in (b"1", b"2", b"3", b"5", b"6")
    ] + [(b"0", 4)]
    assert found[-1].offset == as_tarfile_sees(tmp_path / "a.tar")[-1].offset


@pytest.mark.parametrize("more_maps", [0, 2])
def test_sparse_files_of_old_gnu_tar(tmp_path: Path, more_maps: int) -> None:
    """Their map may go on in further blocks, which the size in the header does not count."""
    header = bytearray(tarfile.TarInfo("holes.tif").tobuf(tarfile.GNU_FORMAT))
    header[156:157], header[124:136], header[482] = b"S", b"%011o\0" % 512, more_maps > 0
    maps = b"".join(bytes(504) + bytes([number < more_maps - 1]) + bytes(7) for number in range(more_maps))
    following = tarfile.TarInfo("a.jpg").tobuf()
    (tmp_path / "a.tar").write_bytes(with_checksum(header) + maps + b"x" * 512 + following + bytes(1024))
    assert [member[:2] for member in members_of(tmp_path / "a.tar")] == [("holes.tif", b"S"), ("a.jpg", b"0")]


def test_records_of_all_members_hold_where_a_member_has_none_of_its_own(tmp_path: Path) -> None:
    everything = {"path": "of-all.jpg", "comment": "für alle"}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT, pax_headers=everything) as tar:
        add(tar, tarfile.TarInfo("a.jpg"))
        add(tar, tarfile.TarInfo("ü.jpg"))
    assert [member.name for member in members_of(tmp_path / "a.tar")] == ["of-all.jpg", "ü.jpg"]


def test_sparse_files_of_pax(tmp_path: Path) -> None:
    """They look like regular ones, but their bytes begin with a map."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        holes = tarfile.TarInfo("holes.tif")
        holes.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        add(tar, holes, b"1\n0\n512\n")
        add(tar, tarfile.TarInfo("a.jpg"), b"body")
    assert [member[:2] for member in members_of(tmp_path / "a.tar")] == [("holes.tif", b"S"), ("a.jpg", b"0")]


def test_an_empty_archive_has_no_members(tmp_path: Path) -> None:
    assert members_of(write_tar(tmp_path / "a.tar", {})) == []


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    """Also between two members, where tar would say nothing: the mark of the end is missing."""
    path = write_tar(tmp_path / "a.tar", TWO)
    whole, data = members_of(path), path.read_bytes()
    for length in range(0, END_OF_TWO + 512, 64):
        path.write_bytes(data[:length])
        with pytest.raises(UnfitError, match=f"is cut off at byte {length:,}"):
            members_of(path)
    path.write_bytes(data[: END_OF_TWO + 512])
    assert members_of(path) == whole


def test_every_damaged_byte_of_a_header_is_noticed(tmp_path: Path) -> None:
    """The standard library takes such a header for the end, and says nothing of the images behind it."""
    path = write_tar(tmp_path / "a.tar", TWO)
    data = path.read_bytes()
    for at in range(1024, 1536):  # the second header
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(UnfitError, match=r"no header at byte 1,024"):
            members_of(path)
    assert len(as_tarfile_sees(path)) == 1


def test_extended_headers_that_make_no_sense(tmp_path: Path) -> None:
    for body in (b"xx path=a.jpg\n", b"13 path=a.jpg\n", b"14 path a.jpg\n", b"0 =\n", b"12 size=12x\n"):
        info = tarfile.TarInfo("pax")
        info.type, info.size = tarfile.XHDTYPE, len(body)
        rest = tarfile.TarInfo("a.jpg").tobuf() + bytes(1024)
        (tmp_path / "a.tar").write_bytes(info.tobuf() + body.ljust(512, b"\0") + rest)
        with pytest.raises(UnfitError, match=r"is damaged: the (extended )?header at byte (0|1,024) h"):
            members_of(tmp_path / "a.tar")


def test_what_follows_the_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", TWO)
    whole, data = members_of(path), path.read_bytes()
    path.write_bytes(data + b"rubbish" * 1000)
    assert members_of(path) == whole
    path.write_bytes(data + data)
    with pytest.raises(UnfitError, match=f"second archive from byte {len(data):,} on.*--concatenate, not with cat"):
        members_of(path)


@pytest.mark.parametrize(
    ("compress", "remedy"), [(gzip.compress, "gunzip"), (bz2.compress, "bunzip2"), (lzma.compress, "unxz")]
)
def test_compressed_files_are_refused(tmp_path: Path, compress: Callable[[bytes], bytes], remedy: str) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        add(tar, tarfile.TarInfo("a.jpg"), b"body")
    (tmp_path / "a.tar").write_bytes(compress(plain.getvalue()))
    with pytest.raises(UnfitError, match=f"is compressed.*; unpack it with {remedy}$"):
        members_of(tmp_path / "a.tar")
