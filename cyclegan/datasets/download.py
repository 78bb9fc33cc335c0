"""Download of published data sets: resumed after interruptions, verified by SHA-256, unpacked as a whole."""

import hashlib
import http.client
import shutil
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from cyclegan.datasets.catalog import BASE_URL, RIGHTS, Dataset, counts_text
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES

if sys.platform != "win32":
    import fcntl

CHUNK_BYTES = 2**17
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE = 60.0  # seconds

Log = Callable[[str], None]


def download(
    dataset: Dataset,
    root: Path,
    base_url: str = BASE_URL,
    sha256: str | None = None,
    retries: int = 5,
    timeout: float = 30.0,
    log: Log = print,
) -> Path:
    """Download a data set and unpack it to `root/NAME`, unless it is there already.

    Args:
        dataset: entry of the catalogue.
        root: parent folder of the data sets; created if missing.
        base_url: folder of the server that holds NAME.zip.
        sha256: checksum to expect instead of the catalogue's.
        retries: see `fetch`.
        timeout: see `fetch`.
        log: called with each progress message.

    Returns:
        The folder of the data set. It holds all images or does not exist.

    Raises:
        DataError: the folder holds something else, another process is downloading the set, the server cannot be
            reached, or the archive has another checksum.
    """
    target = root / dataset.name
    expected = sha256 or dataset.sha256
    if _is_complete(target, dataset):
        log(f"{target} is already there, with {counts_text(dataset.counts)} images")
        return target
    root.mkdir(parents=True, exist_ok=True)
    url = f"{base_url.rstrip('/')}/{dataset.name}.zip"
    archive = partial_file(dataset, root)
    with _locked(archive, dataset.name):
        if _is_complete(target, dataset):  # another process finished meanwhile
            archive.unlink(missing_ok=True)
            return target
        log(f"downloading {dataset.name} ({dataset.archive_bytes / 1e6:,.0f} MB) from {url} to {target}")
        log(f"{dataset.origin} {RIGHTS}")
        fetch(url, archive, retries, timeout, log)
        if (found := _sha256(archive)) != expected:
            log(f"{url} has SHA-256 {found} instead of {expected}; downloading it again")
            archive.write_bytes(b"")
            fetch(url, archive, retries, timeout, log)
            found = _sha256(archive)
        if found != expected:
            raise DataError(
                f"{url} has SHA-256 {found}, and {expected} is expected: the download was altered, or the server has "
                f"another version. Nothing was unpacked; to accept this version, add --sha256 {found}"
            )
        _unpack(archive, target, dataset.counts)
        archive.unlink()
    log(f"{target}: {counts_text(dataset.counts)} images in {' '.join(dataset.counts)}")
    return target


def partial_file(dataset: Dataset, root: Path) -> Path:
    """Return the path of the archive until it is unpacked."""
    return root / f".{dataset.name}.zip.part"


def fetch(
    url: str,
    file: Path,
    retries: int = 5,
    timeout: float = 30.0,
    log: Log = print,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Download a URL to `file`, resuming after the bytes that `file` already holds.

    Bytes of an earlier version of the file on the server are not detected here: compare a checksum afterwards.

    Args:
        url: address, http or https.
        file: where the bytes go; kept if the download fails.
        retries: attempts after a failure, counted anew whenever the file has grown.
        timeout: seconds without a byte after which an attempt has failed.
        log: called with a message before each retry.
        sleep: called with the seconds to wait before each retry: 1, 2, 4, ..., at most 60.

    Raises:
        DataError: there is no such file, or the retries are used up.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url} cannot be downloaded: a URL begins with http:// or https://")
    failures, largest = 0, _size(file)
    while True:
        try:
            _append(url, file, timeout)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # range not satisfiable: all bytes are here
                return
            reason = f"{url} answers {error.code} {error.reason}"
            if error.code not in TRANSIENT_STATUSES:
                raise DataError(f"{reason}; --base-url gives the folder of a server that holds NAME.zip") from error
        except urllib.error.URLError as error:
            reason = f"cannot reach {url}: {error.reason}"
            if largest == 0:  # not after an interruption: at the start, nobody wants to wait for a minute
                raise DataError(f"{reason}. Is there a network connection?") from error
        except (OSError, http.client.HTTPException) as error:
            reason = f"the download of {url} was interrupted: {error}"
        size = _size(file)
        failures = 1 if size > largest else failures + 1
        largest = max(size, largest)
        if failures > retries:
            raise DataError(
                f"{reason}; gave up after {retries} retries. {size:,} bytes are kept; the same command resumes there"
            )
        pause = min(2.0 ** (failures - 1), LONGEST_PAUSE)
        log(f"{reason}; retrying in {pause:g} s, from byte {size:,}")
        sleep(pause)


def _append(url: str, file: Path, timeout: float) -> None:
    size = _size(file)
    headers = {"User-Agent": "cyclegan-data"} | ({"Range": f"bytes={size}-"} if size else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - `fetch` checks the scheme
    with urllib.request.urlopen(request, timeout=timeout) as answer, file.open("ab") as output:  # noqa: S310
        if answer.status != 206:  # the server ignores Range and sends the file from its start
            output.truncate(0)
            size = 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else size + int(length)
        name = Path(url).name
        with tqdm(total=total, initial=size, unit="B", unit_scale=True, disable=None, desc=name) as bar:
            while chunk := answer.read1(CHUNK_BYTES):
                output.write(chunk)
                size += len(chunk)
                bar.update(len(chunk))
    if total is not None and size < total:
        raise ConnectionError(f"{size:,} of {total:,} bytes arrived")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def _locked(archive: Path, name: str) -> Iterator[None]:
    # The operating system releases the lock when the process ends, however it ends.
    if sys.platform == "win32":
        yield
        return
    with archive.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"another process is downloading {name} to {archive.parent}: wait for it, or choose another --output"
            ) from None
        except OSError:
            pass  # a file system without locks
        try:
            yield
        finally:
            if _size(archive) == 0:
                archive.unlink(missing_ok=True)


def _unpack(archive: Path, target: Path, counts: dict[str, int]) -> None:
    """Unpack an archive beside `target` and rename the result, so that `target` never holds a part of it."""
    staging = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(staging)  # writes below `staging` only, and no links
        inner = staging / target.name
        found = _count(inner, counts)
        if found != counts:
            raise DataError(
                f"{archive.name} holds {counts_text(found)} images in {target.name}/, and {counts_text(counts)} are "
                "expected: it is another data set or another version; nothing was unpacked"
            )
        if target.is_dir():
            target.rmdir()  # empty
        inner.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _is_complete(target: Path, dataset: Dataset) -> bool:
    if not target.exists():
        return False
    remedy = "move it away, or choose another --output"
    if not target.is_dir():
        raise DataError(f"{target} is not a folder; {remedy}")
    if not any(target.iterdir()):
        return False
    found = _count(target, dataset.counts)
    if found != dataset.counts:
        raise DataError(
            f"{target} is not overwritten: it holds {counts_text(found)} images in {' '.join(found)}, "
            f"and {dataset.name} has {counts_text(dataset.counts)}; {remedy}"
        )
    return True


def _count(root: Path, folders: dict[str, int]) -> dict[str, int]:
    return {
        name: sum(path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "." for path in (root / name).glob("*"))
        for name in folders
    }
