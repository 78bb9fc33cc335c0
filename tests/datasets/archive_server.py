"""A local HTTP server of one file that can be made to fail, and a tiny data set to serve."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cyclegan.datasets.catalog import Dataset


def packed(members: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


COUNTS = {"trainA": 3, "trainB": 2, "testA": 1, "testB": 1}
MEMBERS = {
    f"tiny/{folder}/2015-01-01 12:30:{i:02}.jpg": f"{folder} {i} ".encode() * 200
    for folder, count in COUNTS.items()
    for i in range(count)
}
ARCHIVE = packed(MEMBERS)
TINY = Dataset("tiny", COUNTS, 4096, hashlib.sha256(ARCHIVE).hexdigest(), "Drawn here.")


class ArchiveServer(ThreadingHTTPServer):
    """A server that answers every address with `content`.

    Attributes:
        ranges: whether Range requests are understood.
        faults: faults of the next requests: an HTTP status; "truncate" sends half of the announced bytes; "stall"
            sends half and then nothing.
        ranges_asked: the Range header of every request so far.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.ranges = True
        self.faults: list[int | str] = []
        self.ranges_asked: list[str | None] = []
        self.done = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: ArchiveServer

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.ranges_asked.append(asked)
        fault = server.faults.pop(0) if server.faults else ""
        body, status = server.content, 200
        if asked and server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            body, status = (body[start:], 206) if start < len(body) else (b"", 416)
        if isinstance(fault, int):
            body, status = b"", fault
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault in ("truncate", "stall") else body)
        self.wfile.flush()
        if fault == "stall":
            server.done.wait(10)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(content: bytes = ARCHIVE) -> Iterator[ArchiveServer]:
    """Run a server."""
    with ArchiveServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.done.set()
            server.shutdown()
            thread.join()
