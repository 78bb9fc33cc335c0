"""The data sets that the CycleGAN authors publish: image counts and checksums of the archives."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from cyclegan.errors import DataError

Entry = TypeVar("Entry")

BASE_URL = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets"
"""The authors' public server; an archive is `BASE_URL/NAME.zip`."""

RIGHTS = "The archives come without a licence: the rights stay with the owners of the images. Cite the authors."

_IMAGENET = "Photographs from ImageNet, for non-commercial research and education."
_FLICKR = "Photographs from Flickr."
_PAINTINGS = "Paintings from WikiArt, photographs from Flickr."
_MAPS = "Aerial images and maps from Google Maps, whose terms apply."
_FACADES = "Photographs and labels from the CMP Facade Database; cite its authors too."


@dataclass(frozen=True)
class Dataset:
    """A published data set."""

    name: str  # of the set, its folder, and the folder inside the archive
    counts: dict[str, int]  # images by folder: trainA, trainB, testA, testB
    archive_bytes: int  # shown, not enforced
    sha256: str  # of the archive, hexadecimal, as TensorFlow Datasets pins it
    origin: str  # of the images


def counts_text(counts: dict[str, int]) -> str:
    """Format image counts as in "1067 / 1334 / 120 / 140"."""
    return " / ".join(map(str, counts.values()))


_SHA256 = {
    "horse2zebra": "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
    "apple2orange": "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
    "summer2winter_yosemite": "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    "monet2photo": "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
    "cezanne2photo": "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff",
    "ukiyoe2photo": "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08",
    "vangogh2photo": "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
    "maps": "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
    "facades": "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
    "iphone2dslr_flower": "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
}

_FOLDERS = ("trainA", "trainB", "testA", "testB")

CATALOG = {
    name: Dataset(name, dict(zip(_FOLDERS, counts, strict=True)), archive_bytes, _SHA256[name], origin)
    for name, counts, archive_bytes, origin in (
        ("horse2zebra", (1067, 1334, 120, 140), 116_867_962, _IMAGENET),
        ("apple2orange", (995, 1019, 266, 248), 78_456_409, _IMAGENET),
        ("summer2winter_yosemite", (1231, 962, 309, 238), 132_640_856, _FLICKR),
        ("monet2photo", (1072, 6287, 121, 751), 305_231_073, _PAINTINGS),
        ("cezanne2photo", (525, 6287, 58, 751), 279_885_071, _PAINTINGS),
        ("ukiyoe2photo", (562, 6287, 263, 751), 292_946_532, _PAINTINGS),
        ("vangogh2photo", (400, 6287, 400, 751), 306_590_349, _PAINTINGS),
        ("maps", (1096, 1096, 1098, 1098), 1_476_754_427, _MAPS),
        ("facades", (400, 400, 106, 106), 35_135_868, _FACADES),
        ("iphone2dslr_flower", (1812, 3325, 569, 480), 339_964_458, _FLICKR),
    )
}
"""Every published data set, by name."""


def find(name: str) -> Dataset:
    """Look up a data set by name; see `look_up`."""
    return look_up(name, CATALOG, "data set")


def look_up(name: str, catalogue: Mapping[str, Entry], kind: str) -> Entry:
    """Return the entry of a catalogue with this name.

    Raises:
        DataError: nothing of the kind has this name; the message suggests the nearest.
    """
    if name in catalogue:
        return catalogue[name]
    nearest = get_close_matches(name.lower(), catalogue, n=1, cutoff=0.5)
    guess = f"; did you mean {nearest[0]}?" if nearest else "."
    raise DataError(f"no {kind} is called {name}{guess} The catalogue holds {', '.join(catalogue)}")
