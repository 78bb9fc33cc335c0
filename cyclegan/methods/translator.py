"""What every translation method offers to the commands and callbacks, which use nothing else of it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

import pytorch_lightning as pl
from torch import Tensor, nn

from cyclegan.data.sizes import Scale
from cyclegan.errors import UserError
from cyclegan.image_pool import ImagePool
from cyclegan.images import PixelFormat

Batch = dict[str, Tensor]
"""Images (N, C, H, W) in [-1, 1] of each domain, by the domain's name."""


class Translator(pl.LightningModule, ABC):
    """A method that turns images of one domain into another. Subclasses are final: one file, one class.

    A batch maps the name of each domain to images (N, C, H, W) in [-1, 1].
    """

    domains: tuple[str, ...]
    """Names of the domains, as in the folders trainA, trainB."""

    directions: tuple[tuple[str, str], ...]
    """The (source, target) pairs that the method learns."""

    size_multiple: int
    """Height and width of the images that go in are multiples of this many pixels."""

    minimum_size: int
    """Height and width of the images that go in are at least this many pixels."""

    minimum_crop: int
    """The same for training, in which networks besides the translating ones look at the images."""

    channels: dict[str, int]
    """That the images of each domain have."""

    pixel_formats: Mapping[str, PixelFormat] = MappingProxyType({})
    """How images of each domain are read and written; known of a translator that comes from a checkpoint."""

    scale: Scale | None = None
    """How training resizes images; known of a translator that comes from a checkpoint. `translate` takes any size."""

    advice: Mapping[str, str] = MappingProxyType({})
    """What to try when an alarm is raised, in configuration keys, by the name of the alarm."""

    @abstractmethod
    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        """Translates images (N, C, H, W) in [-1, 1] of domain `source` into domain `target`.

        Raises:
            UserError: the method does not learn this direction.
        """

    @abstractmethod
    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Images worth looking at, by name, in the order in which they stand side by side in a sample grid."""

    @abstractmethod
    def generators(self) -> Mapping[str, nn.Module]:
        """The networks that translate, by the name of their attribute: what an EMA averages and an export keeps."""

    def discriminator_score(self, images: Tensor, domain: str) -> Tensor | None:
        """Return the scores of a domain's discriminator on an absolute scale; by default, there is none.

        Args:
            images: (N, C, H, W) in [-1, 1], of `minimum_crop` pixels at least.
            domain: its name.

        Returns:
            (N,) in [0, 1], 1: real; None if the method has no score on an absolute scale.

        Raises:
            UserError: the method has no such domain.
        """
        self.require_domain(domain)
        return None

    def pools(self) -> Mapping[str, ImagePool]:
        """The histories of generated images, by name, which checkpoints keep for every device; none by default."""
        return {}

    def require_direction(self, source: str, target: str) -> None:
        """Refuses a direction that the method does not learn, naming those that it does."""
        if (source, target) not in self.directions:
            learnt = ", ".join(f"{s}2{t}" for s, t in self.directions)
            raise UserError(f"this translator does not turn {source} into {target}; it learns {learnt}")

    def require_domain(self, domain: str) -> None:
        """Refuses a domain that the method does not have, naming those that it has."""
        if domain not in self.domains:
            raise UserError(f"this translator has no domain {domain}; it has {', '.join(self.domains)}")
