"""A server of one file on this machine, which can be told to misbehave, and small data sets to serve."""

import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cyclegan.datasets.catalog import Dataset

TINY = Dataset("tiny", 3, 2, 1, 1, 4096, "Drawn here.")


def packed(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def images(dataset: Dataset = TINY, top: str = "tiny/") -> dict[str, bytes]:
    """The members of a data set's archive: files that count as images, each with a content of its own."""
    return {
        f"{top}{folder}/2015-01-01 12:30:{i:02}.jpg": f"{folder} {i} ".encode() * 200
        for folder, count in dataset.counts.items()
        for i in range(count)
    }


class ArchiveServer(ThreadingHTTPServer):
    """Serves `content` under every address.

    Attributes:
        etag: sent with it, and compared with If-Range; None sends none.
        ranges: whether requests for a part are understood.
        faults: what becomes of the next requests, one after the other: an HTTP status; "truncate" sends half of
            what was announced; "stall" sends half and then nothing; "flip" changes a bit of what is sent; "whole"
            does as asked.
        requests: the headers of every request so far.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.etag: str | None = '"one"'
        self.ranges = True
        self.faults: list[int | str] = []
        self.requests: list[dict[str, str]] = []
        self.done = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: ArchiveServer

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(dict(self.headers))
        fault = server.faults.pop(0) if server.faults else "whole"
        if isinstance(fault, int):
            self.send_response(fault)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content
        asked = self.headers.get("Range")
        if asked and server.ranges and self.headers.get("If-Range") in (None, server.etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        if fault == "flip":
            body = bytes([*body[:100], body[100] ^ 1, *body[101:]])
        self.wfile.write(body[: len(body) // 2] if fault in ("truncate", "stall") else body)
        self.wfile.flush()
        if fault == "stall":
            server.done.wait(10)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def serving(content: bytes) -> Iterator[ArchiveServer]:
    """A running server."""
    with ArchiveServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.done.set()
            server.shutdown()
            thread.join()
