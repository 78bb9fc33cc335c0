"""What is wrong with a data set, and what is worth knowing, from what was found in it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from cyclegan.data.selection import paired_names
from cyclegan.data.sizes import target_size
from cyclegan.inspection import finding as kinds
from cyclegan.inspection import look
from cyclegan.inspection.finding import Finding, Item, Kind
from cyclegan.inspection.scan import FolderSurvey, Survey

SQUARISH = 1.1
"""Up to this many times as long as wide, an image is not said to be far from square."""


@dataclass(frozen=True)
class Sizing:
    """What training does to an image's size.

    Args:
        load_size: images are resized to this first; None leaves them as they are.
        crop_size: of the square that is cut out.
        resize: "stretch", "width" or "short_side".
        pairs: every image is two side by side.
    """

    load_size: int | None = 286
    crop_size: int = 256
    resize: str = "stretch"
    pairs: bool = False

    def sizes(self, survey: FolderSurvey) -> Counter[tuple[int, int]]:
        """How many images of a folder, or halves, have each width and height."""
        if not self.pairs:
            return survey.sizes
        halves: Counter[tuple[int, int]] = Counter()
        for (width, height), count in survey.sizes.items():
            halves[max(1, width // 2), height] += count
        return halves


def findings(survey: Survey, sizing: Sizing) -> list[Finding]:
    """All that there is to say, problems first."""
    return [
        *_each(kinds.MISSING, _missing(survey)),
        *_each(kinds.BROKEN, _troubles(survey, look.BROKEN)),
        *_each(kinds.UNSUITABLE, _troubles(survey, look.UNSUITABLE)),
        *_small(survey, sizing),
        *_each(kinds.LEAK, _leaks(survey)),
        *_copies(survey),
        *_each(kinds.SHARED, _shared(survey)),
        *_each(kinds.VAL_IN_TEST, _val_in_test(survey)),
        *_each(kinds.MIXED_DEPTHS, _mixed(survey)),
        *_each(kinds.PAGES, _paged(survey)),
        *_distorted(survey, sizing),
        *_passed_over(survey),
        *_known_answers(survey),
        *_each(kinds.UNEQUAL, _unequal(survey)),
    ]


def _each(kind: Kind, items: Iterable[Item]) -> list[Finding]:
    """One finding that counts its items, or none."""
    found = tuple(items)
    return [Finding(kind, len(found), found)] if found else []


def _missing(survey: Survey) -> Iterator[Item]:
    names = {one.folder.name for one in survey.folders}
    domains = sorted({one.folder.domain for one in survey.folders} - {""})
    for domain in domains:
        if f"train{domain}" not in names:
            yield Item(f"train{domain}", "there is no such folder")
    if len(domains) == 1:
        yield Item(f"train{'B' if domains[0] == 'A' else 'A'}", f"{domains[0]} is the only domain")
    for one in survey.folders:
        if not one.folder.images:
            yield Item(one.folder.name, "the folder holds no image")


def _troubles(survey: Survey, kind: str) -> Iterator[Item]:
    for one in survey.folders:
        for trouble in one.troubles:
            if trouble.kind == kind:
                # An ImageError begins with the whole path, of which the item's name is the end.
                why = trouble.why.removeprefix(f"{one.folder.path}/{trouble.name}").lstrip(": ")
                yield Item(f"{one.folder.name}/{trouble.name}", why)


def _small(survey: Survey, sizing: Sizing) -> Iterator[Finding]:
    items, count = [], 0
    for one in survey.folders:
        for (width, height), images in sorted(sizing.sizes(one).items()):
            wide, high = target_size(width, height, sizing.load_size, sizing.resize)
            if min(wide, high) < sizing.crop_size:
                resized = "" if (wide, high) == (width, height) else f", resized to {wide}×{high}"
                items.append(Item(one.folder.name, f"{images:,} of {width}×{height}{resized}"))
                count += images
    if items:
        yield Finding(kinds.TOO_SMALL, count, tuple(items), f", {sizing.crop_size}×{sizing.crop_size}")


def _leaks(survey: Survey) -> Iterator[Item]:
    splits = [one.folder.split for one in survey.folders]
    for group in survey.same:
        train = tuple(survey.name(place) for place in group if splits[place.folder] == "train")
        if train:
            yield from (
                Item(survey.name(place), same_as=train) for place in group if splits[place.folder] in ("val", "test")
            )


def _copies(survey: Survey) -> Iterator[Finding]:
    surplus: Counter[str] = Counter()
    items = []
    for group in survey.same:
        inside: dict[str, list[str]] = defaultdict(list)
        for place in group:
            inside[survey.folders[place.folder].folder.name].append(survey.name(place))
        for folder, names in inside.items():
            if len(names) > 1:
                surplus[folder] += len(names) - 1
                items.append(Item(names[0], same_as=tuple(names[1:])))
    if items:
        where = ", ".join(
            f"{surplus[one.folder.name]:,} in {one.folder.name}" for one in survey.folders if surplus[one.folder.name]
        )
        yield Finding(kinds.COPIES, surplus.total(), tuple(items), f": {where}")


def _shared(survey: Survey) -> Iterator[Item]:
    for group in survey.same:
        if len({survey.folders[place.folder].folder.domain for place in group}) > 1:
            first, *others = (survey.name(place) for place in group)
            yield Item(first, same_as=tuple(others))


def _val_in_test(survey: Survey) -> Iterator[Item]:
    for group in survey.same:
        if {"val", "test"} <= {survey.folders[place.folder].folder.split for place in group}:
            first, *others = (survey.name(place) for place in group)
            yield Item(first, same_as=tuple(others))


def _mixed(survey: Survey) -> Iterator[Item]:
    for one in survey.folders:
        if len(one.dtypes) > 1:
            yield Item(one.folder.name, ", ".join(f"{dtype} ×{count:,}" for dtype, count in one.dtypes.most_common()))


def _paged(survey: Survey) -> Iterator[Item]:
    for one in survey.folders:
        yield from (Item(f"{one.folder.name}/{name}") for name in one.paged)


def _distorted(survey: Survey, sizing: Sizing) -> Iterator[Finding]:
    if sizing.resize != "stretch" or sizing.load_size is None:
        return
    items, count = [], 0
    for one in survey.folders:
        sizes = sizing.sizes(one)
        far = [size for size in sizes if max(size) > SQUARISH * min(size)]
        if far:
            images, total = sum(sizes[size] for size in far), sizes.total()
            most = max(max(size) / min(size) for size in far)
            items.append(Item(one.folder.name, f"{images:,} of {total:,}, up to {most:.2f} : 1"))
            count += images
    if items:
        yield Finding(kinds.DISTORTED, count, tuple(items))


def _passed_over(survey: Survey) -> Iterator[Finding]:
    items, count = [], 0
    for one in survey.folders:
        if others := one.folder.passed_over:
            items.append(Item(one.folder.name, ", ".join(f"{kind} ×{n:,}" for kind, n in others.most_common())))
            count += others.total()
    if items:
        yield Finding(kinds.PASSED_OVER, count, tuple(items))


def _known_answers(survey: Survey) -> Iterator[Finding]:
    """Test images of two domains under the same names, as data.pairing=by_name pairs them."""
    tests = [one.folder for one in survey.folders if one.folder.split == "test" and one.folder.domain]
    items, count = [], 0
    for one, other in combinations(tests, 2):
        if pairs := len(paired_names(one.images, other.images)):
            totals = f"{pairs:,} of {len(one.images):,} and {len(other.images):,}"
            items.append(Item(one.name, totals, (other.name,)))
            count += pairs
    if items:
        yield Finding(kinds.KNOWN_ANSWERS, count, tuple(items))


def _unequal(survey: Survey) -> Iterator[Item]:
    counts = {one.folder.name: len(one.folder.images) for one in survey.folders if one.folder.split == "train"}
    most = max(counts.values(), default=0)
    for name, count in counts.items():
        if 0 < count < most / 2:
            yield Item(name, f"{counts[name]:,} images of {most:,}")
