"""The findings of `cyclegan-data check`: problems of a data set, and notes on it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from cyclegan.data.selection import paired_names
from cyclegan.data.sizes import target_size
from cyclegan.inspection.scan import BROKEN, UNSUITABLE, Place, Scan

SQUARISH = 1.1
"""Ratio of the longer to the shorter side up to which an image counts as square."""


@dataclass(frozen=True)
class Item:
    """A file of a finding, or several files of one folder."""

    name: str  # "trainA/image.jpg", or "trainA"
    why: str = ""
    same_as: tuple[str, ...] = ()  # other files with the same image
    count: int = 1  # number of files


@dataclass(frozen=True)
class Finding:
    """A problem or a note, and the files that it concerns."""

    kind: str  # in the JSON report
    is_problem: bool  # to be fixed before training; otherwise it is a note
    title: str
    remedy: str
    items: Sequence[Item]

    @property
    def count(self) -> int:
        """The number of files."""
        return sum(item.count for item in self.items)


def find_all(
    scan: Scan, load_size: int | None = 286, crop_size: int = 256, resize: str = "stretch", pairs: bool = False
) -> list[Finding]:
    """Find the problems of a data set, then the notes.

    Args:
        scan: the scanned data set.
        load_size: see `sizes.target_size`.
        crop_size: side of the square crop of training.
        resize: see `sizes.target_size`.
        pairs: every image is two, side by side.
    """
    found: list[Finding] = []

    def add(kind: str, is_problem: bool, items: Iterable[Item], title: str, remedy: str) -> None:
        if items := list(items):
            found.append(Finding(kind, is_problem, title, remedy, items))

    # fmt: off
    add("missing", True, _missing(scan), "missing or empty folders",
        "put images into a train folder of each domain, at least two domains")
    add("broken", True, _with_problem(scan, BROKEN), "broken files",
        "replace or delete them; data.on_error=skip trains without them")
    add("unsuitable", True, _with_problem(scan, UNSUITABLE), "images that cannot be read in this format",
        "set --channels and --convert as described here, and the same for the domain in training")
    add("too_small", True, _too_small(scan, load_size, crop_size, resize, pairs), "images smaller than the crop",
        "set data.resize=short_side, a smaller data.crop_size, or a larger data.load_size")
    add("leak", True, _leaks(scan), "test or validation images that are also in train",
        "delete them from one of the two: metrics on images seen in training are too good")
    add("copies", False, _copies(scan), "duplicates in one folder",
        "delete them, unless training should see these images more often")
    add("shared", False, _in_several_domains(scan), "images in several domains",
        "keep each in one domain only")
    add("val_in_test", False, _val_in_test(scan), "images in both val and test",
        "delete them from one of the two: images that select the best checkpoint should not evaluate it")
    add("mixed_depths", False, _mixed_depths(scan), "folders with mixed bit depths",
        "the full range of each type becomes [-1, 1]; if equal values mean the same, set the domain's range")
    add("pages", False, _pages(scan), "files with several pages",
        "the first page is used; set the domain's page to use another")
    add("distorted", False, _distorted(scan, load_size, resize, pairs), "images far from square",
        "resize=stretch distorts them, as in the paper; data.resize=short_side or width keeps their proportions")
    add("skipped", False, _skipped(scan), "skipped files",
        "no action needed, unless they are images: convert or rename those")
    add("paired_names", False, _paired_names(scan), "file names in several domains",
        "no action needed; if such images show the same scene, data.pairing=by_name measures PSNR and SSIM of held-out "
        "ones, and data.draw=aligned trains on pairs, as model=pix2pix needs them")
    add("unequal", False, _unequal(scan), "domains less than half as large as the largest",
        "no action needed: an epoch has as many images as the largest domain, and images of the others repeat")
    # fmt: on
    return found


def _missing(scan: Scan) -> Iterator[Item]:
    domains = sorted({folder.domain for folder in scan.folders} - {""})
    trained = {folder.domain for folder in scan.folders if folder.split == "train"}
    for domain in domains:
        if domain not in trained:
            yield Item(f"train{domain}", "the folder does not exist")
    if len(domains) == 1:
        yield Item(f"train{'B' if domains[0] == 'A' else 'A'}", f"{domains[0]} is the only domain")
    for folder in scan.folders:
        if not folder.images:
            yield Item(folder.name, "the folder has no images")


def _with_problem(scan: Scan, kind: str) -> Iterator[Item]:
    for folder in scan.folders:
        yield from (Item(name, info.reason) for name, info in folder.infos.items() if info.problem == kind)


def _too_small(scan: Scan, load_size: int | None, crop_size: int, resize: str, pairs: bool) -> Iterator[Item]:
    for folder in scan.folders:
        for size, count in sorted(folder.sizes(pairs).items()):
            width, height = target_size(*size, load_size, resize)
            if min(width, height) < crop_size:
                resized = "" if (width, height) == size else f", resized to {width}×{height}"
                yield Item(folder.name, f"{count:,} of {size[0]}×{size[1]}{resized}", count=count)


def _leaks(scan: Scan) -> Iterator[Item]:
    for group in scan.same:
        train = tuple(place.name for place in group if place.folder.split == "train")
        if train:
            yield from (Item(place.name, same_as=train) for place in group if place.folder.split in ("val", "test"))


def _copies(scan: Scan) -> Iterator[Item]:
    for group in scan.same:
        by_folder: defaultdict[str, list[Place]] = defaultdict(list)
        for place in group:
            by_folder[place.folder.name].append(place)
        yield from (_group(places, len(places) - 1) for places in by_folder.values() if len(places) > 1)


def _in_several_domains(scan: Scan) -> Iterator[Item]:
    yield from (_group(group) for group in scan.same if len({place.folder.domain for place in group}) > 1)


def _val_in_test(scan: Scan) -> Iterator[Item]:
    yield from (_group(group) for group in scan.same if {"val", "test"} <= {place.folder.split for place in group})


def _group(places: Sequence[Place], count: int = 1) -> Item:
    first, *others = (place.name for place in places)
    return Item(first, same_as=tuple(others), count=count)


def _mixed_depths(scan: Scan) -> Iterator[Item]:
    for folder in scan.folders:
        if len(dtypes := folder.count("dtype")) > 1:
            yield Item(folder.name, counts_text(dtypes))


def _pages(scan: Scan) -> Iterator[Item]:
    for folder in scan.folders:
        yield from (Item(name) for name, info in folder.infos.items() if info.header and info.header.pages > 1)


def _distorted(scan: Scan, load_size: int | None, resize: str, pairs: bool) -> Iterator[Item]:
    if resize != "stretch" or load_size is None:
        return
    for folder in scan.folders:
        ratios = [max(size) / min(size) for size in folder.sizes(pairs).elements()]
        count = sum(ratio > SQUARISH for ratio in ratios)
        if count:
            yield Item(folder.name, f"{count:,} of {len(ratios):,}, up to {max(ratios):.2f} : 1", count=count)


def _skipped(scan: Scan) -> Iterator[Item]:
    for folder in scan.folders:
        if skipped := folder.images.skipped:
            yield Item(folder.name, counts_text(skipped), count=skipped.total())


def _paired_names(scan: Scan) -> Iterator[Item]:
    folders = [folder for folder in scan.folders if folder.split and folder.domain]
    for one, other in combinations(folders, 2):
        if one.split != other.split:
            continue
        if pairs := len(paired_names(one.images, other.images, (one.domain, other.domain))):
            why = f"{pairs:,} of {len(one.images):,} and {len(other.images):,}"
            yield Item(one.name, why, (other.name,), pairs)


def _unequal(scan: Scan) -> Iterator[Item]:
    counts = {folder.name: len(folder.images) for folder in scan.folders if folder.split == "train"}
    most = max(counts.values(), default=0)
    yield from (Item(name, f"{count:,} images of {most:,}") for name, count in counts.items() if 0 < count < most / 2)


def counts_text(counts: Counter[str]) -> str:
    """Format counts by name, largest first, as in "uint8 ×2, uint16 ×1"."""
    return ", ".join(f"{name} ×{count:,}" for name, count in counts.most_common())
