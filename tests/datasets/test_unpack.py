"""An archive made by a stranger: nothing leaves the folder, nothing is left of what is refused."""

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from cyclegan.datasets.unpack import ArchiveError, DamagedArchiveError, Limits, unpack
from tests.datasets.archive_server import TINY, images, packed

BOMB = packed(images() | {"tiny/trainA/bomb.jpg": bytes(2**22)}, zipfile.ZIP_DEFLATED)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def write(root: Path, content: bytes) -> Path:
    archive = root / ".tiny.zip.part"
    archive.write_bytes(content)
    return archive


def refuse(root: Path, content: bytes, match: str, limits: Limits | None = None) -> None:
    """The archive is refused with this text, and neither the folder nor what lies around it has changed."""
    archive = write(root, content)
    before = sorted(root.parent.rglob("*"))
    with pytest.raises(ArchiveError, match=match):
        unpack(archive, root / "tiny", TINY.counts, limits)
    assert sorted(root.parent.rglob("*")) == before


@pytest.mark.parametrize("top", ["tiny/", ""], ids=["in a folder", "at the top"])
def test_the_images_arrive_byte_by_byte(root: Path, top: str) -> None:
    members = images(top=top)
    archive = write(root, packed(members))
    unpack(archive, root / "tiny", TINY.counts)
    found = {str(path.relative_to(root / "tiny")): path.read_bytes() for path in (root / "tiny").rglob("*.jpg")}
    assert found == {name.removeprefix(top): content for name, content in members.items()}
    assert {path.name for path in root.iterdir()} == {".tiny.zip.part", "tiny"}


def test_what_lies_beside_the_data_set_is_left_out(root: Path) -> None:
    archive = write(root, packed(images() | {"__MACOSX/tiny/._a.jpg": b"", "tiny/trainA/._a.jpg": b"", "x": b""}))
    unpack(archive, root / "tiny", TINY.counts)
    assert {path.name for path in (root / "tiny").iterdir()} == set(TINY.counts)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("../evil.jpg", "a path that leads upwards"),
        ("tiny/trainA/../../../evil.jpg", "a path that leads upwards"),
        ("/tmp/evil.jpg", "an absolute path"),
        ("..\\evil.jpg", "a path with backslashes"),
        ("C:/evil.jpg", "a path with a drive letter"),
        ("tiny/c:evil.jpg", "a path with a drive letter"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(root: Path, name: str, wrong: str) -> None:
    refuse(root, packed(images() | {name: b"evil"}), wrong)


@pytest.mark.parametrize(
    ("kind", "wrong"), [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFIFO, "a special file"), (stat.S_IFCHR, "special")]
)
def test_what_is_neither_file_nor_folder_is_refused(root: Path, kind: int, wrong: str) -> None:
    archive = write(root, packed(images()))
    with zipfile.ZipFile(archive, "a") as opened:
        link = zipfile.ZipInfo("tiny/trainA/link")
        link.external_attr = (kind | 0o777) << 16
        opened.writestr(link, "/etc")
    refuse(root, archive.read_bytes(), wrong)


def test_the_same_name_twice_is_refused(root: Path) -> None:
    refuse(root, packed(images() | {"tiny//trainA/2015-01-01 12:30:00.jpg": b"other"}), "12:30:00.jpg 2×")


def test_a_bomb_is_refused_before_it_goes_off(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # any decompression would now fail in another way
    assert len(BOMB) < 2**22 / 20
    refuse(root, BOMB, "times the size of the archive, and the most that is unpacked is 20")


def test_a_bomb_that_declares_itself_small_is_read_no_further(root: Path) -> None:
    archive = write(root, BOMB.replace(struct.pack("<L", 2**22), struct.pack("<L", 1000)))
    with pytest.raises(DamagedArchiveError):
        unpack(archive, root / "tiny", TINY.counts)
    assert list(root.iterdir()) == [archive]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (Limits(members=6), "7 members, and the most that is unpacked is 6;"),
        (Limits(file_bytes=1799), "1,800 bytes in one file"),
        (Limits(total_bytes=12_199), "12,200 bytes in all"),
    ],
)
def test_what_is_too_large_is_refused(root: Path, limits: Limits, found: str) -> None:
    # 5 training images of "trainA 0 " × 200 = 1800 bytes, 2 test images of 1600 each
    refuse(root, packed(images()), found, limits)


def test_what_is_just_small_enough_is_unpacked(root: Path) -> None:
    archive = write(root, packed(images()))
    unpack(archive, root / "tiny", TINY.counts, Limits(members=7, file_bytes=1800, total_bytes=12_200, ratio=1.0))
    assert (root / "tiny").is_dir()


def test_a_flipped_bit_is_damage(root: Path) -> None:
    content = bytearray(packed(images()))
    content[100] ^= 1
    archive = write(root, bytes(content))
    with pytest.raises(DamagedArchiveError, match="does not agree with its checksum"):
        unpack(archive, root / "tiny", TINY.counts)
    assert list(root.iterdir()) == [archive]


@pytest.mark.parametrize("content", [b"", b"<html>Not here</html>", packed(images())[:-30]])
def test_what_is_no_whole_zip_is_damage(root: Path, content: bytes) -> None:
    archive = write(root, content)
    with pytest.raises(DamagedArchiveError, match="no whole zip archive"):
        unpack(archive, root / "tiny", TINY.counts)


def test_another_number_of_images_is_refused_with_both_numbers(root: Path) -> None:
    members = images()
    del members["tiny/testB/2015-01-01 12:30:00.jpg"]
    refuse(root, packed(members), r"holds 3 / 2 / 1 / 0 images, and 3 / 2 / 1 / 1 are expected")


def test_nothing_is_left_when_writing_fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write(root, packed(images()))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cyclegan.datasets.unpack.shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(archive, root / "tiny", TINY.counts)
    assert list(root.iterdir()) == [archive]
