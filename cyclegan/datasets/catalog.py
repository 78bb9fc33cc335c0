"""The data sets that the method's authors publish: what an archive is called, and what has to be in it."""

from dataclasses import dataclass
from difflib import get_close_matches

from cyclegan.errors import UserError

BASE_URL = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets"
"""The authors' public server; an archive is `BASE_URL/NAME.zip`."""

RIGHTS = "No licence comes with the archive: the images' rights stay with their owners. Cite the authors."
"""Holds for all of them: the authors say where the images are from, and nothing else."""

_IMAGENET = "Photographs from ImageNet, for non-commercial research and education."
_FLICKR = "Photographs from Flickr."
_PAINTINGS = "Paintings from WikiArt, photographs from Flickr."
_MAPS = "Aerial images and maps from Google Maps, whose terms apply."
_FACADES = "Photographs and labels from the CMP Facade Database, whose authors are to be cited too."


class UnknownDatasetError(UserError):
    """No data set of this name is in the catalogue; the text names the nearest."""


@dataclass(frozen=True)
class Dataset:
    """One published data set.

    Args:
        name: of the set, of its folder and of the folder in the archive.
        train_a: images in trainA, and so on for the other three.
        train_b: see train_a.
        test_a: see train_a.
        test_b: see train_a.
        archive_bytes: size of the archive as TensorFlow Datasets recorded it; shown, not enforced.
        origin: where the images are from.
    """

    name: str
    train_a: int
    train_b: int
    test_a: int
    test_b: int
    archive_bytes: int
    origin: str

    @property
    def archive(self) -> str:
        """The archive's file name."""
        return f"{self.name}.zip"

    @property
    def licence(self) -> str:
        """What is known of the right to use the images."""
        return f"{self.origin} {RIGHTS}"

    @property
    def counts(self) -> dict[str, int]:
        """How many images each folder holds."""
        return {"trainA": self.train_a, "trainB": self.train_b, "testA": self.test_a, "testB": self.test_b}


CATALOG = {
    dataset.name: dataset
    for dataset in (
        Dataset("horse2zebra", 1067, 1334, 120, 140, 116_867_962, _IMAGENET),
        Dataset("apple2orange", 995, 1019, 266, 248, 78_456_409, _IMAGENET),
        Dataset("summer2winter_yosemite", 1231, 962, 309, 238, 132_640_856, _FLICKR),
        Dataset("monet2photo", 1072, 6287, 121, 751, 305_231_073, _PAINTINGS),
        Dataset("cezanne2photo", 525, 6287, 58, 751, 279_885_071, _PAINTINGS),
        Dataset("ukiyoe2photo", 562, 6287, 263, 751, 292_946_532, _PAINTINGS),
        Dataset("vangogh2photo", 400, 6287, 400, 751, 306_590_349, _PAINTINGS),
        Dataset("maps", 1096, 1096, 1098, 1098, 1_476_754_427, _MAPS),
        Dataset("facades", 400, 400, 106, 106, 35_135_868, _FACADES),
        Dataset("iphone2dslr_flower", 1812, 3325, 569, 480, 339_964_458, _FLICKR),
    )
}
"""Every data set by its name."""


def find(name: str) -> Dataset:
    """Looks a data set up.

    Raises:
        UnknownDatasetError: there is none of this name.
    """
    if name in CATALOG:
        return CATALOG[name]
    nearest = get_close_matches(name.lower(), CATALOG, n=1, cutoff=0.5)
    guess = f"; did you mean {nearest[0]}?" if nearest else "."
    raise UnknownDatasetError(f"no data set is called {name}{guess} The catalogue holds {', '.join(CATALOG)}")
