"""The kinds of things that `cyclegan-data check` finds, and what to do about each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Args:
        key: for programs; it stays.
        problem: whether it has to be mended before training; otherwise it is worth knowing.
        label: what it is called in the list of remedies.
        one: what follows the number 1.
        many: what follows other numbers.
        remedy: what to do.
    """

    key: str
    problem: bool
    label: str
    one: str
    many: str
    remedy: str


@dataclass(frozen=True)
class Item:
    """A file, or files of a folder, that a finding is about.

    Args:
        name: "trainA/image.jpg", or "trainA".
        why: what is the matter with it.
        same_as: other files that hold the same image.
    """

    name: str
    why: str = ""
    same_as: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """Something that was found.

    Args:
        kind: what it is.
        count: how often.
        items: where.
        more: what else is said after the number.
    """

    kind: Kind
    count: int
    items: tuple[Item, ...]
    more: str = ""

    @property
    def text(self) -> str:
        """What was found, with its number."""
        return counted(self.count, self.kind.one, self.kind.many) + self.more


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun: "1 image", "1,067 images"."""
    return f"{number:,} {one if number == 1 else many}"


MISSING = Kind(
    "missing",
    True,
    "missing folders",
    "folder is missing or empty",
    "folders are missing or empty",
    "put images into a train folder of each domain, two at least",
)
BROKEN = Kind(
    "broken",
    True,
    "broken files",
    "file is broken",
    "files are broken",
    "put whole images in their place or delete them; data.on_error=skip trains without them",
)
UNSUITABLE = Kind(
    "unsuitable",
    True,
    "unreadable as asked",
    "image cannot be read as asked",
    "images cannot be read as asked",
    "choose --channels and --convert as these lines say, and the same for the domain in training",
)
TOO_SMALL = Kind(
    "too_small",
    True,
    "too small",
    "image is smaller than the crop",
    "images are smaller than the crop",
    "data.resize=short_side makes all large enough; or lower data.crop_size, or raise data.load_size",
)
LEAK = Kind(
    "leak",
    True,
    "test in train",
    "test or validation image is also in train",
    "test or validation images are also in train",
    "delete them from train, or from test: what training has seen proves nothing",
)
COPIES = Kind(
    "copies",
    False,
    "surplus copies",
    "surplus copy",
    "surplus copies",
    "delete them unless these images are meant to count twice",
)
SHARED = Kind(
    "shared",
    False,
    "in several domains",
    "image is in several domains",
    "images are in several domains",
    "keep each in the domain whose look it has",
)
VAL_IN_TEST = Kind(
    "val_in_test",
    False,
    "val in test",
    "image is in both val and test",
    "images are in both val and test",
    "delete them from one: what chose a checkpoint should not judge it",
)
MIXED_DEPTHS = Kind(
    "mixed_depths",
    False,
    "mixed depths",
    "folder mixes depths",
    "folders mix depths",
    "each depth's full range becomes [-1, 1]; set the domain's range if equal values mean the same",
)
PAGES = Kind(
    "pages",
    False,
    "several pages",
    "file has several pages",
    "files have several pages",
    "the first is used; the domain's page chooses another",
)
DISTORTED = Kind(
    "distorted",
    False,
    "far from square",
    "image is far from square",
    "images are far from square",
    "stretch distorts them, as the paper does; data.resize=short_side or width keeps proportions",
)
PASSED_OVER = Kind(
    "passed_over",
    False,
    "passed over",
    "file is passed over",
    "files are passed over",
    "nothing, unless they are images: convert or rename these",
)
KNOWN_ANSWERS = Kind(
    "known_answers",
    False,
    "shared names",
    "name is in several test folders",
    "names are in several test folders",
    "nothing; if such images show the same scene, data.pairing=by_name measures PSNR and SSIM",
)
UNEQUAL = Kind(
    "unequal",
    False,
    "unequal domains",
    "domain is less than half as large as the largest",
    "domains are less than half as large as the largest",
    "nothing: an epoch shows as many images as the largest has, those of the others come again",
)
