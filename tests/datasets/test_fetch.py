"""A file comes whole over a line that breaks, stalls and lies."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclegan.datasets.fetch import DownloadError, MissingError, Patience, fetch
from tests.datasets.archive_server import ArchiveServer, serving

CONTENT = bytes(range(256)) * 400  # 102,400 bytes
HALF = len(CONTENT) // 2


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(CONTENT) as running:
        yield running


class Fetch:
    """Fetches from a server into a folder and keeps the pauses instead of waiting."""

    def __init__(self, server: ArchiveServer, folder: Path) -> None:
        self.url = f"{server.url}/file.zip"
        self.partial = folder / ".file.zip.part"
        self.pauses: list[float] = []
        self.said: list[str] = []

    def __call__(self, retries: int = 5, timeout: float = 5.0) -> bytes:
        fetch(self.url, self.partial, Patience(retries, timeout), self.pauses.append, self.said.append)
        return self.partial.read_bytes()


@pytest.fixture
def get(server: ArchiveServer, tmp_path: Path) -> Fetch:
    return Fetch(server, tmp_path)


def ranges(server: ArchiveServer) -> list[str | None]:
    return [headers.get("Range") for headers in server.requests]


def test_a_good_line_needs_one_request_and_no_pause(get: Fetch, server: ArchiveServer) -> None:
    assert get() == CONTENT
    assert get.pauses == []
    assert ranges(server) == [None]


def test_after_a_break_only_the_rest_is_asked_for_and_only_of_the_same_file(get: Fetch, server: ArchiveServer) -> None:
    server.faults = ["truncate"]
    assert get() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert server.requests[1]["If-Range"] == '"one"'
    assert get.pauses == [1.0]
    assert "broke off at 51,200 of 102,400 bytes" in get.said[0]


def test_a_stall_is_a_break(get: Fetch, server: ArchiveServer) -> None:
    server.faults = ["stall"]
    assert get(timeout=0.1) == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert "timed out" in get.said[0]


def test_another_call_goes_on_where_the_first_gave_up(get: Fetch, server: ArchiveServer) -> None:
    server.faults = ["truncate"]
    with pytest.raises(DownloadError, match=r"given up after 0 retries\. 51,200 bytes are kept; the same command"):
        get(retries=0)
    assert get() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert get() == CONTENT  # nothing is missing, so nothing is asked for
    assert len(server.requests) == 2


def test_a_server_without_ranges_sends_all_of_it_again(get: Fetch, server: ArchiveServer) -> None:
    server.ranges = False
    server.faults = ["truncate"]
    assert get() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_file_that_changed_between_is_not_joined_to_the_old_half(get: Fetch, server: ArchiveServer) -> None:
    server.faults = ["truncate"]
    with pytest.raises(DownloadError):
        get(retries=0)
    server.content, server.etag = CONTENT[::-1], '"two"'
    assert get() == CONTENT[::-1]
    assert server.requests[1]["If-Range"] == '"one"'


def test_without_an_etag_the_length_tells_that_it_changed(get: Fetch, server: ArchiveServer) -> None:
    server.etag = None
    server.faults = ["truncate"]
    with pytest.raises(DownloadError):
        get(retries=0)
    server.content = CONTENT[::-1] + b"more"
    assert get() == CONTENT[::-1] + b"more"
    assert ranges(server) == [None, f"bytes={HALF}-", None]  # the second answer is of a longer file: begin anew
    assert "has changed meanwhile" in get.said[0]


def test_a_file_that_became_shorter_than_what_came_is_fetched_anew(get: Fetch, server: ArchiveServer) -> None:
    server.etag = None
    server.faults = ["truncate"]
    with pytest.raises(DownloadError):
        get(retries=0)
    server.content = CONTENT[:1000]
    assert get() == CONTENT[:1000]
    assert "416" in get.said[0]


def test_a_weak_etag_is_not_sent_where_only_strong_ones_are_allowed(get: Fetch, server: ArchiveServer) -> None:
    server.etag = 'W/"one"'
    server.faults = ["truncate"]
    assert get() == CONTENT
    assert "If-Range" not in server.requests[1]


def test_an_overloaded_server_is_asked_again_after_growing_pauses(get: Fetch, server: ArchiveServer) -> None:
    server.faults = [503, 503, 503]
    assert get() == CONTENT
    assert get.pauses == [1.0, 2.0, 4.0]


def test_the_retries_end(get: Fetch, server: ArchiveServer) -> None:
    server.faults = [503] * 9
    with pytest.raises(DownloadError, match="503 Service Unavailable; given up after 2 retries"):
        get(retries=2)
    assert len(server.requests) == 3


def test_progress_renews_the_retries_but_the_same_bytes_again_do_not(get: Fetch, server: ArchiveServer) -> None:
    server.faults = ["truncate", 503] * 4
    assert get(retries=2) == CONTENT
    assert get.pauses == [1.0, 2.0] * 4

    get.partial.unlink()
    server.ranges, server.faults = False, ["truncate"] * 9
    with pytest.raises(DownloadError, match="given up after 2 retries"):
        get(retries=2)


def test_pauses_are_a_minute_at_most() -> None:
    assert [Patience().wait(n) for n in (1, 2, 6, 7, 2000)] == [1.0, 2.0, 32.0, 60.0, 60.0]


@pytest.mark.parametrize(("status", "kind"), [(404, MissingError), (403, DownloadError)])
def test_what_will_not_pass_is_not_tried_again(
    get: Fetch, server: ArchiveServer, status: int, kind: type[DownloadError]
) -> None:
    server.faults = [status]
    with pytest.raises(kind, match=str(status)):
        get()
    assert len(server.requests) == 1


def test_where_nobody_listens_it_says_so_at_once(get: Fetch) -> None:
    with socket.socket() as reserved:  # bound, not listening: a port that refuses
        reserved.bind(("127.0.0.1", 0))
        get.url = f"http://127.0.0.1:{reserved.getsockname()[1]}/file.zip"
        with pytest.raises(DownloadError, match=r"no way to http://127.0.0.1.*refused\. Is there a network\?"):
            get()
    assert get.pauses == []


def test_files_of_this_machine_are_not_fetched(get: Fetch) -> None:
    get.url = "file:///etc/hostname"
    with pytest.raises(DownloadError, match="begins with http"):
        get()
