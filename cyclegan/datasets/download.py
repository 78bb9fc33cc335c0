"""A published data set in a folder: fetched, checked and unpacked, and never half."""

from pathlib import Path

from cyclegan.datasets.alone import alone
from cyclegan.datasets.catalog import BASE_URL, CATALOG, Dataset
from cyclegan.datasets.fetch import DownloadError, MissingError, Patience, Say, fetch, forget
from cyclegan.datasets.unpack import ArchiveError, DamagedArchiveError, as_text, count_images, unpack


def download(
    dataset: Dataset, root: Path, base_url: str = BASE_URL, patience: Patience | None = None, say: Say = print
) -> Path:
    """Fetches, checks and unpacks a data set into `root/NAME`; a folder that holds it already is left alone.

    Args:
        dataset: from the catalogue.
        root: folder of the data sets; made if it is missing.
        base_url: the folder on a server that holds NAME.zip.
        patience: the default is Patience().
        say: is given what happens, a line at a time.

    Returns:
        The data set's folder.

    Raises:
        DownloadError: the folder holds something else, another process is at it, or the archive could not be fetched.
        ArchiveError: what was fetched is no such data set.
        OSError: it could not be written.
    """
    target = root / dataset.name
    if holds(target, dataset):
        say(f"{target} is already there, with {as_text(dataset.counts)} images")
        return target
    root.mkdir(parents=True, exist_ok=True)
    with alone(dataset.name, root):
        if not holds(target, dataset):  # another process may have been at it
            _download(dataset, root, base_url, patience or Patience(), say)
    return target


def _download(dataset: Dataset, root: Path, base_url: str, patience: Patience, say: Say) -> None:
    target = root / dataset.name
    url = f"{base_url.rstrip('/')}/{dataset.archive}"
    say(f"fetching {dataset.name} ({dataset.archive_bytes / 1e6:,.0f} MB) from {url} to {target}")
    say(dataset.licence)
    partial = partial_file(dataset, root)
    try:
        fetch(url, partial, patience, say=say)
        try:
            unpack(partial, target, dataset.counts)
        except DamagedArchiveError as error:
            say(f"{error}; fetching it once more")
            forget(partial)
            fetch(url, partial, patience, say=say)
            unpack(partial, target, dataset.counts)
    except MissingError as error:
        names = ", ".join(CATALOG)
        raise MissingError(f"{error}: give a --base-url with a file NAME.zip; the catalogue holds {names}") from error
    except ArchiveError:
        forget(partial)  # kept, it would be taken for a finished download the next time
        raise
    forget(partial)
    say(f"{target}: {as_text(dataset.counts)} images in {' '.join(dataset.counts)}")


def partial_file(dataset: Dataset, root: Path) -> Path:
    """Where the archive lies until it is unpacked."""
    return root / f".{dataset.archive}.part"


def holds(target: Path, dataset: Dataset) -> bool:
    """Whether a folder already holds this data set; False where there is nothing yet.

    Raises:
        DownloadError: something else is there.
    """
    if not target.exists() and not target.is_symlink():
        return False
    remedy = "move it away, or choose another --output"
    if not target.is_dir():
        raise DownloadError(f"{target} is there and is no folder; {remedy}")
    if not any(target.iterdir()):
        return False
    found = count_images(target, dataset.counts)
    if found != dataset.counts:
        raise DownloadError(
            f"{target} is not overwritten: it holds {as_text(found)} images in {' '.join(found)}, "
            f"and {dataset.name} has {as_text(dataset.counts)}; {remedy}"
        )
    return True
