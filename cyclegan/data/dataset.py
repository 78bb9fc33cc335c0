"""The training samples: the images that a draw chooses, read and augmented."""

from collections.abc import Mapping
from itertools import groupby

from torch.utils.data import Dataset

from cyclegan.data.draw import Draw, Item, augmentation_rng
from cyclegan.data.loader import Sample
from cyclegan.data.reader import MAX_TRIES, DomainImages
from cyclegan.data.transforms import Planes
from cyclegan.errors import DataError
from cyclegan.images import DiskError, ImageError


class TrainingSamples(Dataset[Sample]):
    """The training sample at each position of a run: a function of (seed, position).

    Args:
        domains: the images of each domain.
        draw: chooses the images of each sample.
        seed: seed of the augmentations.
        skip: whether the next readable image replaces an unreadable one. The replacement is a function of the files,
            so a resumed run sees the same images.
    """

    def __init__(self, domains: Mapping[str, DomainImages], draw: Draw, seed: int, skip: bool = False) -> None:
        self.domains = domains
        self.draw = draw
        self.seed = seed
        self.skip = skip
        self._errors: dict[Item, str] = {}

    def __getitem__(self, position: int) -> Sample:
        """Return the sample at a position.

        Raises:
            ImageError: an image cannot be read, or is too small for the crop.
            DataError: with `skip`, no image can be read; or images that share a crop have different sizes.
        """
        sample = Sample({}, {}, [], {domain: images.pixel_format for domain, images in self.domains.items()})
        for _, group in groupby(self.draw(position), key=lambda item: item.group):
            planes = self._first_readable(list(group), sample.skipped)
            self._require_one_size(planes)
            for item, each in planes.items():
                rng = augmentation_rng(self.seed, item.group, position)  # the same numbers for the whole group
                images = self.domains[item.domain]
                sample.images[item.domain] = images.view(each, rng, images.pixel_format)
                sample.files[item.domain] = self._path(item)
        return sample

    def _first_readable(self, items: list[Item], skipped: list[tuple[str, str]]) -> dict[Item, Planes]:
        count = len(self.domains[items[0].domain])
        for _ in range(min(count, MAX_TRIES)):
            planes = {item: each for item in items if (each := self._planes(item)) is not None}
            if len(planes) == len(items):
                return planes
            skipped += [(self._path(item), self._errors[item]) for item in items if item not in planes]
            items = self.draw.following(items)
        names = " and ".join(item.domain for item in items)
        which = f"none of the {count}" if count <= MAX_TRIES else f"none of {MAX_TRIES} successive"
        raise DataError(f"{which} images of domain {names} can be used. For example: {skipped[-1][1]}")

    def _planes(self, item: Item) -> Planes | None:
        if item in self._errors:
            return None
        try:
            return self.domains[item.domain][item.number]
        except ImageError as error:
            # After a DiskError the image may be readable later: the replacement would not be a function of the files.
            if not self.skip or isinstance(error, DiskError):
                raise
            self._errors[item] = str(error)
            return None

    def _path(self, item: Item) -> str:
        return self.domains[item.domain].images[item.number]

    def _require_one_size(self, planes: Mapping[Item, Planes]) -> None:
        if len({each.shape[1:] for each in planes.values()}) > 1:
            sizes = ", ".join(f"{self._path(item)} {each.shape[2]}×{each.shape[1]}" for item, each in planes.items())
            raise DataError(
                f"aligned images share one crop, but these have different sizes: {sizes}; set data.resize=stretch"
            )


class Switched(Dataset[Sample]):
    """The samples of one set before a position, and those of another set from it on."""

    def __init__(self, before: Dataset[Sample], after: Dataset[Sample], position: int) -> None:
        self.before = before
        self.after = after
        self.position = position

    def __getitem__(self, position: int) -> Sample:
        """Return the sample at a position."""
        return (self.before if position < self.position else self.after)[position]
