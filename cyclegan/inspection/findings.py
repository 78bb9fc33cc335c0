"""The checks of `cyclegan-data check`: problems of a data set, and notes on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from cyclegan.data.selection import paired_names
from cyclegan.data.sizes import target_size
from cyclegan.inspection.scan import BROKEN, UNSUITABLE, Folder, Place, Scan

SQUARISH = 1.1
"""Ratio of the longer to the shorter side up to which an image counts as square."""


@dataclass(frozen=True)
class Sizing:
    """The resizing and cropping that training applies.

    Args:
        load_size: size that images are resized to first; None leaves them as they are.
        crop_size: side of the square crop.
        resize: "stretch", "width" or "short_side"; see `sizes.target_size`.
        pairs: every image is two, side by side.
    """

    load_size: int | None = 286
    crop_size: int = 256
    resize: str = "stretch"
    pairs: bool = False

    def sizes(self, folder: Folder) -> Counter[tuple[int, int]]:
        """Return the number of images (or halves) of a folder by (width, height)."""
        if not self.pairs:
            return folder.sizes
        halves: Counter[tuple[int, int]] = Counter()
        for (width, height), count in folder.sizes.items():
            halves[max(1, width // 2), height] += count
        return halves


@dataclass(frozen=True)
class Item:
    """One file, or several files of one folder, that a finding is about."""

    name: str  # "trainA/image.jpg", or "trainA"
    why: str = ""
    same_as: tuple[str, ...] = ()  # other files with the same image
    count: int = 1  # number of files


@dataclass(frozen=True)
class Check:
    """One kind of finding."""

    run: Callable[[Scan, Sizing], Iterator[Item]]
    key: str  # in the JSON report
    is_problem: bool  # to be fixed before training; otherwise the finding is a note
    title: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """The result of a check that found something."""

    check: Check
    items: tuple[Item, ...]

    @property
    def count(self) -> int:
        """The number of files."""
        return sum(item.count for item in self.items)


def find_all(scan: Scan, sizing: Sizing) -> list[Finding]:
    """Run all checks and return those that found something, problems first."""
    found = (Finding(check, tuple(check.run(scan, sizing))) for check in CHECKS)
    return [finding for finding in found if finding.items]


def _missing(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    domains = sorted({folder.domain for folder in scan.folders} - {""})
    trained = {folder.domain for folder in scan.folders if folder.split == "train"}
    for domain in domains:
        if domain not in trained:
            yield Item(f"train{domain}", "there is no such folder")
    if len(domains) == 1:
        yield Item(f"train{'B' if domains[0] == 'A' else 'A'}", f"{domains[0]} is the only domain")
    for folder in scan.folders:
        if not folder.images:
            yield Item(folder.name, "the folder holds no image")


def _broken(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    return _with_problem(scan, BROKEN)


def _unsuitable(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    return _with_problem(scan, UNSUITABLE)


def _with_problem(scan: Scan, kind: str) -> Iterator[Item]:
    for folder in scan.folders:
        for name, info in folder.problems.items():
            if info.problem == kind:
                # An ImageError begins with the path, of which the item's name is the end.
                reason = info.reason.removeprefix(f"{folder.path}/{name}").lstrip(": ")
                yield Item(f"{folder.name}/{name}", reason)


def _too_small(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    for folder in scan.folders:
        for size, count in sorted(sizing.sizes(folder).items()):
            width, height = target_size(*size, sizing.load_size, sizing.resize)
            if min(width, height) < sizing.crop_size:
                resized = "" if (width, height) == size else f", resized to {width}×{height}"
                yield Item(folder.name, f"{count:,} of {size[0]}×{size[1]}{resized}", count=count)


def _leaks(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    for group in scan.same:
        train = tuple(str(place) for place in group if place.folder.split == "train")
        if train:
            yield from (Item(str(place), same_as=train) for place in group if place.folder.split in ("val", "test"))


def _copies(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    for group in scan.same:
        by_folder: defaultdict[str, list[Place]] = defaultdict(list)
        for place in group:
            by_folder[place.folder.name].append(place)
        yield from (_group(places, len(places) - 1) for places in by_folder.values() if len(places) > 1)


def _in_several_domains(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    yield from (_group(group) for group in scan.same if len({place.folder.domain for place in group}) > 1)


def _val_in_test(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    yield from (_group(group) for group in scan.same if {"val", "test"} <= {place.folder.split for place in group})


def _group(places: Sequence[Place], count: int = 1) -> Item:
    first, *others = map(str, places)
    return Item(first, same_as=tuple(others), count=count)


def _mixed_depths(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    for folder in scan.folders:
        if len(folder.dtypes) > 1:
            yield Item(folder.name, counts_text(folder.dtypes))


def _pages(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    for folder in scan.folders:
        yield from (Item(f"{folder.name}/{name}") for name in folder.paged)


def _distorted(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    if sizing.resize != "stretch" or sizing.load_size is None:
        return
    for folder in scan.folders:
        sizes = sizing.sizes(folder)
        ratios = {size: max(size) / min(size) for size in sizes}
        count = sum(sizes[size] for size, ratio in ratios.items() if ratio > SQUARISH)
        if count:
            yield Item(
                folder.name, f"{count:,} of {sizes.total():,}, up to {max(ratios.values()):.2f} : 1", count=count
            )


def _skipped(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    for folder in scan.folders:
        if folder.skipped:
            yield Item(folder.name, counts_text(folder.skipped), count=folder.skipped.total())


def _paired_names(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    tests = [folder for folder in scan.folders if folder.split == "test" and folder.domain]
    for one, other in combinations(tests, 2):
        if pairs := len(paired_names(one.images, other.images)):
            why = f"{pairs:,} of {len(one.images):,} and {len(other.images):,}"
            yield Item(one.name, why, (other.name,), pairs)


def _unequal(scan: Scan, sizing: Sizing) -> Iterator[Item]:
    counts = {folder.name: len(folder.images) for folder in scan.folders if folder.split == "train"}
    most = max(counts.values(), default=0)
    yield from (Item(name, f"{count:,} images of {most:,}") for name, count in counts.items() if 0 < count < most / 2)


def counts_text(counts: Counter[str]) -> str:
    """Format counts by name, largest first, as in "uint8 ×2, uint16 ×1"."""
    return ", ".join(f"{name} ×{count:,}" for name, count in counts.most_common())


# fmt: off
CHECKS = (
    Check(_missing, "missing", True, "missing or empty folders",
          "put images into a train folder of each domain, at least two domains"),
    Check(_broken, "broken", True, "broken files",
          "replace or delete them; data.on_error=skip trains without them"),
    Check(_unsuitable, "unsuitable", True, "images that cannot be read in this format",
          "choose --channels and --convert as these lines say, and the same for the domain in training"),
    Check(_too_small, "too_small", True, "images smaller than the crop",
          "data.resize=short_side makes all large enough; or lower data.crop_size, or raise data.load_size"),
    Check(_leaks, "leak", True, "test or validation images that are also in train",
          "delete them from one of the two: on images seen in training, metrics are too good"),
    Check(_copies, "copies", False, "surplus copies",
          "delete them unless these images are meant to count twice"),
    Check(_in_several_domains, "shared", False, "images in several domains",
          "keep each in the domain that it looks like"),
    Check(_val_in_test, "val_in_test", False, "images in both val and test",
          "delete them from one: an image that selects the checkpoint should not evaluate it"),
    Check(_mixed_depths, "mixed_depths", False, "folders with mixed bit depths",
          "the full range of each type becomes [-1, 1]; set the domain's range if equal values mean the same"),
    Check(_pages, "pages", False, "files with several pages",
          "the first page is used; the domain's page selects another"),
    Check(_distorted, "distorted", False, "images far from square",
          "resize=stretch distorts them, as in the paper; data.resize=short_side or width keeps their proportions"),
    Check(_skipped, "skipped", False, "skipped files",
          "no action needed, unless they are images: convert or rename these"),
    Check(_paired_names, "paired_names", False, "file names in several test folders",
          "no action needed; if such images show the same scene, data.pairing=by_name measures PSNR and SSIM"),
    Check(_unequal, "unequal", False, "domains less than half as large as the largest",
          "no action needed: an epoch has as many images as the largest domain, and those of the others repeat"),
)
# fmt: on
