"""From a server to a folder that training can use, or nothing at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclegan.datasets.alone import alone
from cyclegan.datasets.download import download
from cyclegan.datasets.fetch import DownloadError, MissingError, Patience
from cyclegan.datasets.unpack import ArchiveError, DamagedArchiveError
from tests.datasets.archive_server import TINY, ArchiveServer, images, packed, serving

IMPATIENT = Patience(retries=1, timeout=5.0, pause=0.0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(packed(images())) as running:
        yield running


def get(server: ArchiveServer, root: Path) -> list[str]:
    """Downloads the tiny set; gives what was said."""
    said: list[str] = []
    assert download(TINY, root, f"{server.url}/sets/", IMPATIENT, said.append) == root / "tiny"
    return said


def test_it_says_what_it_does_and_leaves_the_data_set_alone_behind(server: ArchiveServer, tmp_path: Path) -> None:
    said = get(server, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["tiny"]
    assert len(list((tmp_path / "data/tiny").rglob("*.jpg"))) == 7
    assert said[0] == f"fetching tiny (0 MB) from {server.url}/sets/tiny.zip to {tmp_path / 'data/tiny'}"
    assert said[1] == TINY.licence
    assert said[-1] == f"{tmp_path / 'data/tiny'}: 3 / 2 / 1 / 1 images in trainA trainB testA testB"


def test_a_data_set_that_is_there_is_left_alone(server: ArchiveServer, tmp_path: Path) -> None:
    get(server, tmp_path)
    assert get(server, tmp_path) == [f"{tmp_path / 'tiny'} is already there, with 3 / 2 / 1 / 1 images"]
    assert len(server.requests) == 1


def test_an_empty_folder_is_filled(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    get(server, tmp_path)
    assert len(list((tmp_path / "tiny").rglob("*.jpg"))) == 7


def test_another_folder_is_not_overwritten(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "tiny/trainA").mkdir(parents=True)
    (tmp_path / "tiny/trainA/mine.jpg").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"tiny is not overwritten: it holds 1 / 0 / 0 / 0 images"):
        get(server, tmp_path)
    assert [path.name for path in (tmp_path / "tiny").rglob("*.jpg")] == ["mine.jpg"]
    assert server.requests == []


def test_a_file_of_that_name_is_not_overwritten(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "tiny").write_text("mine")
    with pytest.raises(DownloadError, match="is no folder; move it away"):
        get(server, tmp_path)
    assert (tmp_path / "tiny").read_text() == "mine"


def test_a_damaged_archive_is_fetched_once_more(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults = ["flip"]
    said = get(server, tmp_path)
    assert any("does not agree with its checksum; fetching it once more" in line for line in said)
    assert [headers.get("Range") for headers in server.requests] == [None, None]
    assert len(list((tmp_path / "tiny").rglob("*.jpg"))) == 7


def test_an_archive_damaged_twice_is_an_error_and_removed(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults = ["flip", "flip"]
    with pytest.raises(DamagedArchiveError, match="checksum"):
        get(server, tmp_path)
    assert len(server.requests) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("members", "wrong"),
    [(images() | {"../evil": b"evil"}, "leads upwards"), ({"tiny/trainA/1.jpg": b""}, "1 / 0 / 0 / 0 images")],
)
def test_an_archive_that_is_refused_is_fetched_once_and_removed(
    server: ArchiveServer, tmp_path: Path, members: dict[str, bytes], wrong: str
) -> None:
    server.content = packed(members)
    with pytest.raises(ArchiveError, match=wrong):
        get(server, tmp_path)
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_archive_is_answered_with_the_catalogue(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults = [404]
    with pytest.raises(MissingError, match=r"tiny\.zip does not exist.*--base-url.*horse2zebra, apple2orange"):
        get(server, tmp_path)


def test_what_a_broken_line_left_is_used_by_the_next_call(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults = ["truncate", 503, 503]
    with pytest.raises(DownloadError, match="bytes are kept"):
        get(server, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".tiny.zip.part", ".tiny.zip.part.json"}
    get(server, tmp_path)
    assert server.requests[-1]["Range"] == f"bytes={len(server.content) // 2}-"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_second_download_of_the_same_set_is_kept_out(server: ArchiveServer, tmp_path: Path) -> None:
    with alone("tiny", tmp_path):
        with pytest.raises(DownloadError, match=rf"another process is fetching tiny to {tmp_path}: wait for it, or"):
            get(server, tmp_path)
        with alone("other", tmp_path):
            pass
        assert server.requests == []
    get(server, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"], "and no lock stays"


def test_a_lock_of_a_process_that_was_killed_holds_nobody_up(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / ".tiny.lock").write_text("")
    get(server, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]


def test_what_a_killed_download_had_half_unpacked_is_cleared_away(server: ArchiveServer, tmp_path: Path) -> None:
    for name in (".tiny-0123abcd", ".tiny-original", ".tiny-0123abcde", ".other-0123abcd"):
        (tmp_path / name / "trainA").mkdir(parents=True)
        (tmp_path / name / "trainA" / "0.jpg").write_bytes(b"half")
    get(server, tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == [".other-0123abcd", ".tiny-0123abcde", ".tiny-original", "tiny"], "and nothing of anybody else's"
