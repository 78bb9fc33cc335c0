"""The training samples: unpaired images of several domains."""

from collections.abc import Container, Mapping

from torch import Tensor
from torch.utils.data import Dataset

from cyclegan.data.loader import Batch
from cyclegan.data.preflight import PATIENCE
from cyclegan.data.reader import Prepared
from cyclegan.data.sampler import Order, augmentation_rng
from cyclegan.data.worker import Skipped
from cyclegan.errors import DataError
from cyclegan.images import DiskError, ImageError


class UnpairedImages(Dataset[Batch]):
    """The training sample at a position: an image of each domain, chosen and augmented independently.

    Args:
        domains: the images of each domain.
        seed: another seed gives another order and other augmentations.
    """

    def __init__(self, domains: Mapping[str, Prepared], seed: int) -> None:
        self.domains = domains
        self.seed = seed
        self._orders = {domain: Order(seed, domain, prepared.images) for domain, prepared in domains.items()}

    def __getitem__(self, position: int) -> Batch:
        """Images (C, H, W) in [-1, 1] of each domain at this position of the run.

        Raises:
            ImageError: an image cannot be read, or is too small for the crop.
        """
        return {domain: self._image(domain, self._orders[domain][position], position) for domain in self.domains}

    def path(self, domain: str, position: int, unreadable: Container[str] = ()) -> str:
        """The file of a domain at this position of the run, or the one that stands in for it if it is unreadable."""
        images, first = self.domains[domain].images, self._orders[domain][position]
        candidates = (images[(first + attempt) % len(images)] for attempt in range(len(images)))
        return next((path for path in candidates if path not in unreadable), images[first])

    def _image(self, domain: str, index: int, position: int) -> Tensor:
        prepared = self.domains[domain]
        rng = augmentation_rng(self.seed, domain, position)
        return prepared.view(prepared[index], rng, prepared.pixel_format)


class ForgivingImages(UnpairedImages):
    """The same, but an image that cannot be read gives its place to the next one of its domain that can.

    Which one that is depends on the files alone, so a run that is resumed sees the same.
    """

    def __init__(self, domains: Mapping[str, Prepared], seed: int) -> None:
        super().__init__(domains, seed)
        self._reasons: dict[tuple[str, int], str] = {}
        self._skipped: list[Skipped] = []

    def take_skipped(self) -> list[Skipped]:
        """What was passed over since this was asked last."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def _image(self, domain: str, index: int, position: int) -> Tensor:
        images = self.domains[domain].images
        for attempt in range(min(len(images), PATIENCE)):
            candidate = (index + attempt) % len(images)
            if (domain, candidate) not in self._reasons:
                try:
                    return super()._image(domain, candidate, position)
                except DiskError:
                    raise  # it may be readable the next moment: what stands in would not be a function of the files
                except ImageError as error:
                    self._reasons[domain, candidate] = str(error)
            self._skipped.append(Skipped(images[candidate], self._reasons[domain, candidate]))
        tried = min(len(images), PATIENCE)
        which = f"none of the {tried}" if tried == len(images) else f"none of {tried}, one after the other, of the"
        raise DataError(f"{which} images of domain {domain} can be used. The first: {self._reasons[domain, index]}")
