"""Download of published data sets and weights: resumed after interruptions, verified by SHA-256."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from cyclegan.datasets.catalog import RIGHTS, Dataset, counts_text
from cyclegan.errors import DataError
from cyclegan.images import IMAGE_SUFFIXES

CHUNK_BYTES = 2**17
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE = 60.0  # seconds


def download(dataset: Dataset, root: Path, base_url: str, sha256: str | None, retries: int, timeout: float) -> None:
    """Download a data set and unpack it to `root/NAME`, unless it is there already; print the progress.

    The folder of the data set is complete or does not exist.

    Args:
        dataset: entry of the catalogue.
        root: parent folder of the data sets; created if missing.
        base_url: folder of the server that holds NAME.zip.
        sha256: checksum to expect; None for the catalogue's.
        retries: see `fetch`.
        timeout: see `fetch`.

    Raises:
        DataError: the folder holds something else, the server cannot be reached, or the archive has another checksum.
    """
    target = root / dataset.name
    expected = sha256 or dataset.sha256
    if _is_complete(target, dataset):
        print(f"{target} is already there, with {counts_text(dataset.counts)} images")
        return
    root.mkdir(parents=True, exist_ok=True)
    url = f"{base_url.rstrip('/')}/{dataset.name}.zip"
    archive = root / f".{dataset.name}.zip.part"
    print(f"downloading {dataset.name} ({dataset.archive_bytes / 1e6:,.0f} MB) from {url} to {target}")
    print(f"{dataset.origin} {RIGHTS}")
    fetch_verified(url, archive, expected, retries, timeout)
    with TemporaryDirectory(prefix=f".{dataset.name}-", dir=root) as staging, zipfile.ZipFile(archive) as opened:
        opened.extractall(staging)  # writes below `staging` only, and no links
        Path(staging, dataset.name).rename(target)
    archive.unlink()
    print(f"{target}: {counts_text(_count(target, dataset))} images in {' '.join(dataset.counts)}")


def fetch_verified(url: str, file: Path, expected: str | None, retries: int, timeout: float) -> str:
    """Download as `fetch` does, once more if the file has another SHA-256 than `expected`, and return its SHA-256.

    Raises:
        DataError: as `fetch`, or the file has another SHA-256 again; with None any will do.
    """
    for repeats in (True, False):
        fetch(url, file, retries, timeout)
        if expected in (None, found := _sha256(file)):
            return found
        if repeats:
            print(f"{url} has SHA-256 {found} instead of {expected}; downloading it again")
            file.unlink()
    raise DataError(
        f"{url} has SHA-256 {found}, and {expected} is expected: the download was altered, another process wrote to "
        f"the same file, or the server has another version. It is not used; to accept it, add --sha256 {found}"
    )


def fetch(url: str, file: Path, retries: int, timeout: float) -> None:
    """Download a URL to `file`, resuming after the bytes that `file` already holds.

    After a failure, the next attempt follows in 1, 2, 4, ..., at most 60 seconds. Bytes of an earlier version of the
    file on the server are not detected here: compare a checksum afterwards.

    Args:
        url: address, http or https.
        file: output file; kept if the download fails.
        retries: attempts after a failure, counted anew whenever the file has grown.
        timeout: seconds without a byte after which an attempt has failed.

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
                raise DataError(
                    f"{reason}; --base-url gives the folder of another server that holds this file"
                ) from error
        except urllib.error.URLError as error:
            reason = f"cannot reach {url}: {error.reason}"
            if largest == 0:  # not an interruption: report at once that there is no connection
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
        print(f"{reason}; retrying in {pause:g} s, from byte {size:,}")
        time.sleep(pause)


def _append(url: str, file: Path, timeout: float) -> None:
    size = _size(file)
    headers = {"User-Agent": "cyclegan"} | ({"Range": f"bytes={size}-"} if size else {})
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
                bar.update(len(chunk))
    if total is not None and _size(file) < total:
        raise ConnectionError(f"{_size(file):,} of {total:,} bytes arrived")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _is_complete(target: Path, dataset: Dataset) -> bool:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    found = _count(target, dataset)
    if found != dataset.counts:
        raise DataError(
            f"{target} is not overwritten: it holds {counts_text(found)} images in {' '.join(found)}, and "
            f"{dataset.name} has {counts_text(dataset.counts)}; move it away, or choose another --output"
        )
    return True


def _count(root: Path, dataset: Dataset) -> dict[str, int]:
    return {
        name: sum(path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "." for path in (root / name).glob("*"))
        for name in dataset.counts
    }
