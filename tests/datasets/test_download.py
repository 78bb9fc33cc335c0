"""Downloads over a connection that breaks, stalls and alters bytes."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclegan.datasets.download import _locked, download, fetch, partial_file
from cyclegan.errors import DataError
from tests.datasets.archive_server import ARCHIVE, MEMBERS, TINY, ArchiveServer, packed, serving

HALF = len(ARCHIVE) // 2


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running


class Fetch:
    """Fetches from a server into a folder, and records the pauses instead of waiting."""

    def __init__(self, server: ArchiveServer, folder: Path) -> None:
        self.url = f"{server.url}/file.zip"
        self.file = folder / "file.zip"
        self.pauses: list[float] = []
        self.log: list[str] = []

    def __call__(self, retries: int = 5, timeout: float = 5.0) -> bytes:
        fetch(self.url, self.file, retries, timeout, self.log.append, self.pauses.append)
        return self.file.read_bytes()


@pytest.fixture
def get(server: ArchiveServer, tmp_path: Path) -> Fetch:
    return Fetch(server, tmp_path)


@pytest.mark.parametrize(("fault", "reason"), [("truncate", "bytes arrived"), ("stall", "timed out")])
def test_an_interrupted_transfer_resumes(get: Fetch, server: ArchiveServer, fault: str, reason: str) -> None:
    server.faults = [fault]
    assert get(timeout=0.2) == ARCHIVE
    assert server.ranges_asked == [None, f"bytes={HALF}-"]
    assert get.pauses == [1.0]
    assert reason in get.log[0]


def test_a_second_call_resumes_after_the_bytes_that_the_first_kept(get: Fetch, server: ArchiveServer) -> None:
    server.faults = ["truncate"]
    with pytest.raises(DataError, match=rf"gave up after 0 retries\. {HALF:,} bytes are kept; the same command"):
        get(retries=0)
    assert get() == ARCHIVE
    assert server.ranges_asked == [None, f"bytes={HALF}-"]
    assert get() == ARCHIVE  # complete: the server answers 416


def test_a_server_without_ranges_sends_the_whole_file_again(get: Fetch, server: ArchiveServer) -> None:
    server.ranges = False
    server.faults = ["truncate"]
    assert get() == ARCHIVE
    assert server.ranges_asked == [None, f"bytes={HALF}-"]


def test_an_overloaded_server_is_asked_again_after_growing_pauses(get: Fetch, server: ArchiveServer) -> None:
    server.faults = [503] * 9
    with pytest.raises(DataError, match="503 Service Unavailable; gave up after 7 retries"):
        get(retries=7)
    assert get.pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]


def test_retries_are_counted_anew_after_progress_only(get: Fetch, server: ArchiveServer) -> None:
    server.faults = ["truncate", 503] * 4
    assert get(retries=2) == ARCHIVE
    assert get.pauses == [1.0, 2.0] * 4
    get.file.unlink()
    server.ranges, server.faults = False, ["truncate"] * 9
    with pytest.raises(DataError, match="gave up after 2 retries"):
        get(retries=2)


@pytest.mark.parametrize("status", [404, 403])
def test_permanent_errors_are_not_retried(get: Fetch, server: ArchiveServer, status: int) -> None:
    server.faults = [status]
    with pytest.raises(DataError, match=f"{status}.*--base-url"):
        get()
    assert len(server.ranges_asked) == 1


def test_an_unreachable_server_is_reported_at_once(get: Fetch) -> None:
    with socket.socket() as reserved:  # bound and not listening: a port that refuses
        reserved.bind(("127.0.0.1", 0))
        get.url = f"http://127.0.0.1:{reserved.getsockname()[1]}/file.zip"
        with pytest.raises(DataError, match=r"cannot reach http://127.0.0.1.*refused\. Is there a network"):
            get()
    assert get.pauses == []


def test_local_files_are_not_fetched(get: Fetch) -> None:
    get.url = "file:///etc/hostname"
    with pytest.raises(DataError, match="begins with http"):
        get()


def get_tiny(server: ArchiveServer, root: Path, sha256: str | None = None) -> list[str]:
    log: list[str] = []
    assert download(TINY, root, f"{server.url}/sets/", sha256, 0, 5.0, log.append) == root / "tiny"
    return log


def test_download_unpacks_the_data_set_and_leaves_nothing_else(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "data/tiny").mkdir(parents=True)  # empty
    (tmp_path / "data/.tiny.unpacking/trainA").mkdir(parents=True)  # of a process that was killed
    log = get_tiny(server, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["tiny"]
    found = {f"tiny/{p.relative_to(tmp_path / 'data/tiny')}": p.read_bytes() for p in tmp_path.rglob("*.jpg")}
    assert found == MEMBERS
    assert log[0].startswith(f"downloading tiny (0 MB) from {server.url}/sets/tiny.zip to {tmp_path / 'data/tiny'}")
    assert log[-1] == f"{tmp_path / 'data/tiny'}: 3 / 2 / 1 / 1 images in trainA trainB testA testB"
    assert get_tiny(server, tmp_path / "data")[0].endswith("is already there, with 3 / 2 / 1 / 1 images")
    assert len(server.ranges_asked) == 1


def test_nothing_is_overwritten(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "folder/tiny/trainA").mkdir(parents=True)
    (tmp_path / "folder/tiny/trainA/mine.jpg").write_bytes(b"mine")
    (tmp_path / "tiny").write_text("mine")
    with pytest.raises(DataError, match=r"tiny is not overwritten: it holds 1 / 0 / 0 / 0 images"):
        get_tiny(server, tmp_path / "folder")
    with pytest.raises(DataError, match="is not a folder; move it away"):
        get_tiny(server, tmp_path)
    assert server.ranges_asked == []


def test_an_altered_archive_is_downloaded_once_more(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults = ["flip"]
    log = get_tiny(server, tmp_path)
    assert "downloading it again" in log[2]
    assert server.ranges_asked == [None, None]


def test_a_partial_file_of_another_version_is_not_used(server: ArchiveServer, tmp_path: Path) -> None:
    partial_file(TINY, tmp_path).write_bytes(b"old" * 100)
    get_tiny(server, tmp_path)
    assert server.ranges_asked == ["bytes=300-", None]


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


def test_an_archive_with_other_counts_is_not_unpacked(server: ArchiveServer, tmp_path: Path) -> None:
    server.content = packed({"tiny/trainA/1.jpg": b""})
    with pytest.raises(DataError, match=r"holds 1 / 0 / 0 / 0 images .* and 3 / 2 / 1 / 1 are expected"):
        get_tiny(server, tmp_path, hashlib.sha256(server.content).hexdigest())
    assert [path.name for path in tmp_path.iterdir()] == [".tiny.zip.part"]


def test_a_second_download_of_the_same_set_is_refused(server: ArchiveServer, tmp_path: Path) -> None:
    with (
        _locked(partial_file(TINY, tmp_path), "tiny"),
        pytest.raises(DataError, match=rf"another process is downloading tiny to {tmp_path}: wait for it, or"),
    ):
        get_tiny(server, tmp_path)
    get_tiny(server, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
