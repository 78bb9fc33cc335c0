"""The image pool: a history of generated images for a discriminator."""

from typing import Any

import torch
from torch import Tensor

from cyclegan.errors import UserError


class ImagePool:
    """Mixes new and earlier generated images for a discriminator, which reduces oscillation.

    Each image of a batch is treated separately. Until the pool is full, it is stored and returned. Then, with
    probability ½, it replaces a random stored image, which is returned; otherwise it is returned and not stored.

    Source: Shrivastava et al. 2017 (arXiv:1612.07828, section 2.3), with 50 images as in the CycleGAN
    paper (section 4).

    Args:
        size: number of images in the pool; 0 turns it off.
        seed: seed of the pool's own random generator.
    """

    def __init__(self, size: int = 50, seed: int = 0) -> None:
        if size < 0:
            raise UserError(f"pool_size is {size}; it counts images, so it is 0 (no pool) or more")
        self.size = size
        self._images: list[Tensor] = []
        self._rng = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self._images)

    def query(self, images: Tensor) -> Tensor:
        """Return new and stored images, detached, for new images (N, C, H, W), in the same shape."""
        images = images.detach()
        return images if self.size == 0 else torch.stack([self._exchange(image) for image in images])

    def _exchange(self, image: Tensor) -> Tensor:
        # A clone, because a slice would keep the memory of the entire batch.
        if len(self._images) < self.size:
            self._images.append(image.clone())
            return image
        if torch.rand((), generator=self._rng) < 0.5:
            return image
        slot = int(torch.randint(self.size, (), generator=self._rng))
        earlier, self._images[slot] = self._images[slot], image.clone()
        return earlier

    def reseed(self, seed: int) -> None:
        """Seed the random generator again, for example with a seed for each device."""
        self._rng.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        return {"images": list(self._images), "rng": self._rng.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore a state, with the images on `device`."""
        self._images = [image.to(device) for image in state["images"]][: self.size]
        self._rng.set_state(state["rng"].cpu())
