"""The training samples: the images that a draw chooses, read and augmented."""

from collections.abc import Container, Iterator, Mapping
from itertools import groupby

from torch import Tensor
from torch.utils.data import Dataset

from cyclegan.data.draw import Draw, Item, augmentation_rng
from cyclegan.data.loader import Batch
from cyclegan.data.reader import MAX_TRIES, DomainImages
from cyclegan.data.transforms import Planes
from cyclegan.data.worker import Skipped
from cyclegan.errors import DataError
from cyclegan.images import DiskError, ImageError


class TrainingSamples(Dataset[Batch]):
    """The training sample at each position of a run: a function of (seed, position).

    Args:
        domains: the images of each domain.
        draw: chooses the images of each sample.
        seed: seed of the augmentations.
        skip: whether the next readable image replaces an unreadable one. Which one that is depends on the files alone,
            so a resumed run sees the same images.
    """

    def __init__(self, domains: Mapping[str, DomainImages], draw: Draw, seed: int, skip: bool = False) -> None:
        self.domains = domains
        self.draw = draw
        self.seed = seed
        self.skip = skip
        self._reasons: dict[tuple[str, int], str] = {}
        self._skipped: list[Skipped] = []

    def __getitem__(self, position: int) -> Batch:
        """Return an image (C, H, W) in [-1, 1] of each domain.

        Raises:
            ImageError: an image cannot be read, or is too small for the crop.
            DataError: with `skip`, no image can be read; or images that share a crop have different sizes.
        """
        found: Batch = {}
        for items in self._groups(position):
            found |= self._first_readable(items, position) if self.skip else self._load(items, position)
        return found

    def take_skipped(self) -> list[Skipped]:
        """Return the images that were skipped since the last call."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def files(self, position: int, unreadable: Container[str] = ()) -> dict[str, str]:
        """Return the file of each domain at a position; the replacement where a file is in `unreadable`."""
        found: dict[str, str] = {}
        for items in self._groups(position):
            attempts = (self._paths(tried) for tried in self._attempts(items))
            usable = (paths for paths in attempts if not any(path in unreadable for path in paths.values()))
            found |= next(usable, self._paths(items))
        return found

    def _groups(self, position: int) -> Iterator[list[Item]]:
        for _, items in groupby(self.draw(position), key=lambda item: item.group):
            yield list(items)

    def _attempts(self, items: list[Item]) -> Iterator[list[Item]]:
        for _ in range(min(len(self.domains[items[0].domain]), MAX_TRIES)):
            yield items
            items = self.draw.following(items)

    def _paths(self, items: list[Item]) -> dict[str, str]:
        return {item.domain: self.domains[item.domain].images[item.number] for item in items}

    def _load(self, items: list[Item], position: int) -> dict[str, Tensor]:
        planes = {item.domain: self._planes(item) for item in items}
        if len({each.shape[1:] for each in planes.values()}) > 1:
            sizes = ", ".join(
                f"{path} {planes[domain].shape[2]}×{planes[domain].shape[1]}"
                for domain, path in self._paths(items).items()
            )
            raise DataError(
                f"aligned images share one crop, but these have different sizes: {sizes}; set data.resize=stretch"
            )
        tensors = {}
        for item in items:
            rng = augmentation_rng(self.seed, item.group, position)  # the same numbers for the whole group
            domain = self.domains[item.domain]
            tensors[item.domain] = domain.view(planes[item.domain], rng, domain.pixel_format)
        return tensors

    def _planes(self, item: Item) -> Planes:
        try:
            return self.domains[item.domain][item.number]
        except DiskError:
            raise  # it may be readable a moment later: the replacement would not be a function of the files
        except ImageError as error:
            self._reasons[item.domain, item.number] = str(error)
            raise

    def _first_readable(self, items: list[Item], position: int) -> dict[str, Tensor]:
        for tried in self._attempts(items):
            try:
                if not any((item.domain, item.number) in self._reasons for item in tried):
                    return self._load(tried, position)
            except DiskError:
                raise
            except ImageError:
                pass  # its reason is noted
            self._skipped += [
                Skipped(self.domains[item.domain].images[item.number], self._reasons[item.domain, item.number])
                for item in tried
                if (item.domain, item.number) in self._reasons
            ]
        names = " and ".join(item.domain for item in items)
        reason = next(self._reasons[key] for item in items if (key := (item.domain, item.number)) in self._reasons)
        count = len(self.domains[items[0].domain])
        which = f"none of the {count}" if count <= MAX_TRIES else f"none of {MAX_TRIES} successive"
        raise DataError(f"{which} images of domain {names} can be used. The first: {reason}")
