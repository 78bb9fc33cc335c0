"""Downloads over a connection that breaks, stalls and alters bytes."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclegan.datasets.download import download, fetch
from cyclegan.errors import DataError
from tests.datasets.archive_server import ARCHIVE, MEMBERS, TINY, ArchiveServer, packed, serving

HALF = len(ARCHIVE) // 2


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses between attempts instead of waiting."""
    recorded: list[float] = []
    monkeypatch.setattr("cyclegan.datasets.download.time.sleep", recorded.append)
    return recorded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.zip"


@pytest.mark.parametrize(("fault", "reason"), [("truncate", "bytes arrived"), ("stall", "timed out")])
def test_an_interrupted_transfer_resumes(
    server: ArchiveServer, file: Path, pauses: list[float], capsys: pytest.CaptureFixture[str], fault: str, reason: str
) -> None:
    server.faults = [fault]
    fetch(server.url, file, 5, 0.2)
    assert file.read_bytes() == ARCHIVE
    assert server.ranges_asked == [None, f"bytes={HALF}-"]
    assert pauses == [1.0]
    assert reason in capsys.readouterr().out


def test_a_second_call_resumes_after_the_bytes_that_the_first_kept(server: ArchiveServer, file: Path) -> None:
    server.faults = ["truncate"]
    with pytest.raises(DataError, match=rf"gave up after 0 retries\. {HALF:,} bytes are kept; the same command"):
        fetch(server.url, file, 0, 5.0)
    fetch(server.url, file, 0, 5.0)
    fetch(server.url, file, 0, 5.0)  # the file is complete, and the server answers 416
    assert file.read_bytes() == ARCHIVE
    assert server.ranges_asked == [None, f"bytes={HALF}-", f"bytes={len(ARCHIVE)}-"]


def test_a_server_without_ranges_sends_the_complete_file_again(server: ArchiveServer, file: Path) -> None:
    server.ranges, server.faults = False, ["truncate"]
    fetch(server.url, file, 5, 5.0)
    assert file.read_bytes() == ARCHIVE
    assert server.ranges_asked == [None, f"bytes={HALF}-"]
    server.faults = ["truncate"] * 9
    with pytest.raises(DataError, match="gave up after 2 retries"):
        fetch(server.url, file, 2, 5.0)


def test_pauses_grow_and_start_anew_after_progress(server: ArchiveServer, file: Path, pauses: list[float]) -> None:
    server.faults = ["truncate", 503, "truncate", *[503] * 9]
    with pytest.raises(DataError, match="503 Service Unavailable; gave up after 7 retries"):
        fetch(server.url, file, 7, 5.0)
    assert pauses == [1.0, 2.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]


def test_permanent_errors_are_not_retried(server: ArchiveServer, file: Path) -> None:
    server.faults = [404]
    with pytest.raises(DataError, match=r"404.*--base-url"):
        fetch(server.url, file, 5, 5.0)
    assert len(server.ranges_asked) == 1


def test_an_unreachable_server_is_reported_at_once(file: Path, pauses: list[float]) -> None:
    with socket.socket() as reserved:  # bound and not listening: a port that refuses connections
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/file.zip"
        with pytest.raises(DataError, match=r"cannot reach http://127.0.0.1.*refused\. Is there a network"):
            fetch(url, file, 5, 5.0)
    assert pauses == []


def get_tiny(server: ArchiveServer, root: Path, sha256: str | None = None) -> None:
    download(TINY, root, f"{server.url}/sets/", sha256, 0, 5.0)


def test_download_unpacks_the_data_set_and_leaves_no_other_files(
    server: ArchiveServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    (root / "tiny").mkdir(parents=True)  # empty
    get_tiny(server, root)
    assert [path.name for path in root.iterdir()] == ["tiny"]
    assert {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.jpg")} == MEMBERS
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"downloading tiny (0 MB) from {server.url}/sets/tiny.zip to {root / 'tiny'}"
    assert lines[-1] == f"{root / 'tiny'}: 3 / 2 / 1 / 1 images in trainA trainB testA testB"
    get_tiny(server, root)
    assert capsys.readouterr().out.endswith("is already there, with 3 / 2 / 1 / 1 images\n")
    assert len(server.ranges_asked) == 1


def test_nothing_is_overwritten(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "folder/tiny/trainA").mkdir(parents=True)
    (tmp_path / "folder/tiny/trainA/mine.jpg").write_bytes(b"mine")
    (tmp_path / "tiny").write_text("mine")
    with pytest.raises(DataError, match=r"tiny is not overwritten: it holds 1 / 0 / 0 / 0 images"):
        get_tiny(server, tmp_path / "folder")
    with pytest.raises(DataError, match=r"tiny is not overwritten: .*; move it away"):
        get_tiny(server, tmp_path)
    assert server.ranges_asked == []


def test_an_altered_archive_is_downloaded_once_more(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / ".tiny.zip.part").write_bytes(b"older version")
    get_tiny(server, tmp_path)
    assert server.ranges_asked == ["bytes=13-", None]


def test_another_archive_is_refused_with_both_hashes_and_can_be_accepted(server: ArchiveServer, tmp_path: Path) -> None:
    server.content = packed({**MEMBERS, "../evil.jpg": b"", "/evil.jpg": b"", "__MACOSX/x.jpg": b""})
    found = hashlib.sha256(server.content).hexdigest()
    root = tmp_path / "data"
    with pytest.raises(DataError, match=rf"has SHA-256 {found}, and {TINY.sha256} is expected.*--sha256 {found}"):
        get_tiny(server, root)
    assert not (root / "tiny").exists()
    get_tiny(server, root, found)
    assert server.ranges_asked[2:] == [f"bytes={len(server.content)}-"], "the archive is not downloaded again"
    assert {path.name for path in tmp_path.rglob("*") if path.is_dir()} == {"data", "tiny", *TINY.counts}
    assert not list(tmp_path.rglob("evil.jpg")), "nothing is written outside of the data set's folder"
