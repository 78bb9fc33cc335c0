"""The interface of translation methods, on which commands and callbacks rely."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from cyclegan.data.sizes import AS_IT_IS, Scale, target_size
from cyclegan.data.transforms import resized
from cyclegan.errors import UserError
from cyclegan.image_pool import ImagePool
from cyclegan.images import RGB, PixelFormat, Pixels
from cyclegan.images.tensors import to_pixels, to_tensor
from cyclegan.methods.image_input import ImageInput, padded, padded_size, pixels_of
from cyclegan.optim import clip_each_player

Batch = dict[str, Tensor]
"""Images (N, C, H, W) in [-1, 1] of each domain, by the domain's name."""

Compile = bool | Literal["auto", "reduce-overhead"]


class Translator(pl.LightningModule, ABC):
    """Abstract base class of translation methods. Subclasses are final, one in each file."""

    domains: tuple[str, ...]
    """Names of the domains, as in the folders trainA, trainB."""

    directions: tuple[tuple[str, str], ...]
    """The (source, target) pairs between which the method translates."""

    size_multiple: int
    """Height and width of input images must be multiples of this number of pixels."""

    minimum_size: int
    """Smallest height and width of input images, in pixels."""

    minimum_crop: int
    """Smallest height and width of training images, which the discriminators process too."""

    minimum_batch: int = 1
    """Smallest number of images of each domain in a training batch of one device."""

    channels: dict[str, int]
    """Number of channels, by domain."""

    pixel_formats: Mapping[str, PixelFormat] = MappingProxyType({})
    """How images of each domain are read and written. Set when a translator is loaded from a checkpoint."""

    scale: Scale | None = None
    """How training resizes images. Set when a translator is loaded from a checkpoint."""

    advice: Mapping[str, str] = MappingProxyType({})
    """What to try when an alarm is raised, in configuration keys, by the name of the alarm."""

    compile_networks: Compile = "auto"
    """Whether training compiles `compiled()` with torch.compile; "auto": on a GPU, for crops of one size.
    "reduce-overhead" also records CUDA graphs, which need a fixed image size."""

    gradient_clipping: tuple[float | None, str | None] = (None, None)
    """`trainer.gradient_clip_val` and its algorithm for a method that takes turns, as Lightning refuses them there."""

    @abstractmethod
    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        """Translate images (N, C, H, W) in [-1, 1] from domain `source` to domain `target`.

        Raises:
            UserError: the method does not translate in this direction.
        """

    @torch.inference_mode()
    def forward(
        self, image: ImageInput, direction: str | None = None, load_size: int | None = None
    ) -> Image.Image | Pixels:
        """Translate one image: resize it as in training, pad it for the generator, translate, and remove the padding.

        Args:
            image: a Pillow image, an array (H, W, C) of the values of the domain's files, or a path.
            direction: "A2B"; None: the first direction.
            load_size: size to resize to, instead of training's; 0 keeps the size.

        Returns:
            the translation at the resized size: an array for an array, otherwise a Pillow image of 8 bits.

        Raises:
            ImageError: the image cannot be read, or has other channels than the domain.
            UserError: there is no such direction.
        """
        source, _, target = (direction or "2".join(self.directions[0])).partition("2")
        self.require_direction(source, target)
        read_as, written_as = (self.pixel_formats.get(domain, RGB) for domain in (source, target))
        scale = self.scale or AS_IT_IS
        scale = scale if load_size is None else Scale(load_size or None, scale.resize)
        pixels = pixels_of(image, read_as)
        width, height = target_size(pixels.shape[1], pixels.shape[0], *scale)
        size = padded_size(width, height, self.size_multiple, self.minimum_size)
        images = to_tensor(padded(resized(pixels, width, height), *size), read_as)[None]
        weight = next(weight for network in self.generators().values() for weight in network.parameters())
        (translated,) = self.translate(images.to(weight), source, target)
        translated = translated[:, :height, :width]
        if isinstance(image, np.ndarray):
            return to_pixels(translated, written_as)
        return Image.fromarray(to_pixels(translated, replace(written_as, dtype="uint8")).squeeze())

    @abstractmethod
    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return the images of a sample grid by name, in the order of its columns."""

    @abstractmethod
    def generators(self) -> Mapping[str, nn.Module]:
        """Return the networks that translate, by attribute name. The EMA averages these."""

    def compiled(self) -> Sequence[nn.Module]:
        """Return the networks that training may compile; not those of which second derivatives are taken."""
        return []

    def discriminator_score(self, images: Tensor, domain: str) -> Tensor | None:
        """Return the scores (N,) of a domain's discriminator in [0, 1], where 1 means real.

        None, the default, means that the method has no scores on an absolute scale.

        Args:
            images: (N, C, H, W) in [-1, 1], of `minimum_crop` pixels at least.
            domain: name of the domain.
        """
        return None

    def pools(self) -> Mapping[str, ImagePool]:
        """Return the image pools by name, which checkpoints store for each device; none by default."""
        return {}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of each player separately, if `trainer.gradient_clip_val` is set."""
        if gradient_clip_val:
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
                scaler.unscale_(optimizer)  # which Lightning leaves to fused optimisers, whose step would come too late
            clip_each_player(optimizer, float(gradient_clip_val), gradient_clip_algorithm or "norm")

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip gradients where Lightning does not: for methods that take turns."""
        if not self.automatic_optimization:
            self.configure_gradient_clipping(optimizer, *self.gradient_clipping)

    def require_direction(self, source: str, target: str) -> None:
        """Raise a UserError if the method does not translate in this direction."""
        if (source, target) not in self.directions:
            known = ", ".join(f"{s}2{t}" for s, t in self.directions)
            raise UserError(f"this translator has no direction {source}2{target}; it has {known}")
