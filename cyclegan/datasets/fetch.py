"""Fetches a file over a poor line: again and again if need be, and from where it broke off."""

import contextlib
import errno
import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from cyclegan.errors import UserError

CHUNK = 2**17
LONGEST_PAUSE = 60.0
WORTH_RETRYING = frozenset({408, 429, 500, 502, 503, 504})
GONE = frozenset({404, 410})
UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED})

Say = Callable[[str], None]


class DownloadError(UserError):
    """What was asked for could not be fetched; the text says why and what to do."""


class MissingError(DownloadError):
    """The server has no such file."""


class _BrokenError(Exception):
    """The transfer broke off, and trying again may help."""


@dataclass(frozen=True)
class Patience:
    """How a poor line is put up with.

    Args:
        retries: attempts after a failure, counted anew whenever more of the file has come than ever before.
        timeout: seconds in which at least something must arrive.
        pause: seconds before the first retry; each further one waits twice as long, at most a minute.
    """

    retries: int = 5
    timeout: float = 30.0
    pause: float = 1.0

    def wait(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return min(self.pause * 2.0 ** min(failures - 1, 30), LONGEST_PAUSE)


@dataclass(frozen=True)
class Remote:
    """What the server says about a file, by which one tells whether it is still the same."""

    url: str
    length: int | None
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """The value for If-Range: the ETag if it is a strong one, which alone is allowed there, or the date."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def contradicts(self, other: "Remote") -> bool:
        """Whether something that both say differs; an answer about a part may leave out what was said before."""
        pairs = ((self.length, other.length), (self.etag, other.etag), (self.modified, other.modified))
        return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def fetch(
    url: str, partial: Path, patience: Patience, sleep: Callable[[float], object] = time.sleep, say: Say = print
) -> None:
    """Downloads a file, going on from what is in `partial` where the server's file is still the same.

    Raises:
        DownloadError: there is no such file, no way to the server, or the line broke too often.
        OSError: the file could not be written.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url} cannot be fetched: an address begins with http:// or https://")
    failures = 0
    furthest = size_of(partial)
    while True:
        try:
            attempt(url, partial, patience.timeout)
            return
        except _BrokenError as error:
            size = size_of(partial)
            failures = 1 if size > furthest else failures + 1
            furthest = max(size, furthest)
            if failures > patience.retries:
                raise DownloadError(
                    f"{url} could not be fetched: {error}; given up after {patience.retries} retries. "
                    f"{size:,} bytes are kept; the same command goes on from there"
                ) from error
            pause = patience.wait(failures)
            say(f"{error}; again in {pause:g} s, from byte {size:,}")
            sleep(pause)


def attempt(url: str, partial: Path, timeout: float) -> None:
    """One request, and all that comes of it into `partial`.

    Raises:
        _BrokenError: it is worth another attempt; what came is kept where it can be gone on from.
        DownloadError: it is not.
    """
    known, size = recall(partial), size_of(partial)
    if known is None or known.url != url or (known.length is not None and size > known.length):
        forget(partial)
        known, size = None, 0
    if known and known.length == size:
        return  # all of it came before; whether it is whole is the archive's to say
    headers = {"User-Agent": "cyclegan-data"}
    if known and size:
        headers["Range"] = f"bytes={size}-"
        if known.validator:
            headers["If-Range"] = known.validator
    with contextlib.closing(request(url, headers, timeout, partial)) as response:
        remote = describe(url, response)
        if response.status != 206:  # all of it: a first attempt, a changed file, or a server that ignores ranges
            forget(partial)
            remember(partial, remote)
            size = 0
        elif (
            known is None
            or remote.contradicts(known)
            or not response.headers.get("Content-Range", "").startswith(f"bytes {size}-")
        ):
            forget(partial)
            raise _BrokenError(f"{url} has changed meanwhile")
        receive(response, partial, size, remote.length)


def request(url: str, headers: dict[str, str], timeout: float, partial: Path) -> http.client.HTTPResponse:
    """Sends a request and sorts the errors into those that pass and those that do not."""
    try:
        response = urllib.request.urlopen(  # noqa: S310 - `fetch` has looked at the scheme
            urllib.request.Request(url, headers=headers),  # noqa: S310
            timeout=timeout,
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # more was asked for than there is: the file has become shorter
            forget(partial)
        if error.code == 416 or error.code in WORTH_RETRYING:
            raise _BrokenError(f"{url} answers {error.code} {error.reason}") from error
        if error.code in GONE:
            raise MissingError(f"{url} does not exist ({error.code} {error.reason})") from error
        raise DownloadError(f"{url} answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        # In the middle of a download the line may come back; at its beginning nobody wants to wait a minute for that.
        if size_of(partial) == 0 and hopeless(error.reason):
            raise DownloadError(f"no way to {url}: {error.reason}. Is there a network?") from error
        raise _BrokenError(f"no way to {url}: {error.reason}") from error
    except http.client.InvalidURL as error:
        raise DownloadError(f"{url} is no address: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"{url} does not answer: {error}") from error
    assert isinstance(response, http.client.HTTPResponse)
    return response


def hopeless(reason: str | BaseException) -> bool:
    """Whether it will hardly pass: no name service, no route, nobody listening, a wrong certificate, no address."""
    if isinstance(reason, OSError):
        return isinstance(reason, socket.gaierror | ssl.SSLCertVerificationError) or reason.errno in UNREACHABLE
    return True


def receive(response: http.client.HTTPResponse, partial: Path, size: int, length: int | None) -> None:
    """Appends what comes to `partial`, until `length` bytes are there."""
    bar = tqdm(total=length, initial=size, unit="B", unit_scale=True, disable=None, desc=partial.name[1:-5])
    with partial.open("ab") as file, bar:
        for chunk in chunks(response):
            file.write(chunk)
            size += len(chunk)
            bar.update(len(chunk))
    if length is not None and size != length:
        raise _BrokenError(f"the transfer broke off at {size:,} of {length:,} bytes")


def chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body, piece by piece as it arrives."""
    while True:
        try:
            chunk = response.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenError(f"the transfer broke off: {error}") from error
        if not chunk:
            return
        yield chunk


def describe(url: str, response: http.client.HTTPResponse) -> Remote:
    """What the answer says about the whole file, also where it is about a part."""
    if response.status == 206:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    length = int(total) if total.isdecimal() else None
    return Remote(url, length, response.headers.get("ETag"), response.headers.get("Last-Modified"))


def size_of(partial: Path) -> int:
    """Bytes that have come so far."""
    return partial.stat().st_size if partial.exists() else 0


def notes_on(partial: Path) -> Path:
    """Where stands which file the partial one is a part of."""
    return partial.with_name(f"{partial.name}.json")


def remember(partial: Path, remote: Remote) -> None:
    """Notes which file is being fetched."""
    notes_on(partial).write_text(json.dumps(asdict(remote)), encoding="utf-8")


def recall(partial: Path) -> Remote | None:
    """Which file the partial one is a part of; None if nothing readable says so."""
    try:
        return Remote(**json.loads(notes_on(partial).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def forget(partial: Path) -> None:
    """Removes what was fetched, and the notes on it."""
    partial.unlink(missing_ok=True)
    notes_on(partial).unlink(missing_ok=True)
