"""Differentiable augmentation of the images that a discriminator sees, for small sets of images."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import AbsoluteScore, Objective


def color(images: Tensor) -> Tensor:
    """Add U(−½, ½) to the brightness, then scale saturation by U(0, 2), then contrast by U(½, 1½)."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + 2 * saturation * (images - grey)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    changed: Tensor = mean + (contrast + 0.5) * (images - mean)
    return changed


def translation(images: Tensor) -> Tensor:
    """Shift by up to ⅛ of height and width; what enters from outside is 0."""
    height, width = images.shape[2:]
    up, left = _rounded(height / 8), _rounded(width / 8)
    rows = _draw(2 * up + 1, images) + torch.arange(height, device=images.device)  # (N, H)
    columns = _draw(2 * left + 1, images) + torch.arange(width, device=images.device)
    # Gathering, unlike grid_sample, moves pixels without interpolation and is deterministic on request.
    moved = F.pad(images, (left, left, up, up)).take_along_dim(rows[:, None, :, None], dim=2)
    return moved.take_along_dim(columns[:, None, None, :], dim=3)


def cutout(images: Tensor) -> Tensor:
    """Set a rectangle of half the height and half the width to 0; parts of it may lie outside."""
    rows, columns = (_covered(side, images) for side in images.shape[2:])
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "color": color, "translation": translation, "cutout": cutout
}  # fmt: skip


class DiffAugment(nn.Module):
    """DiffAugment (Zhao et al. 2020, arXiv:2006.10738): random transforms that gradients pass through.

    Applied to real and generated images before a discriminator, also in the generator's loss, so that the generator
    does not learn to generate augmented images. Ranges are those of the paper's code. Every image has its own draws,
    from torch's global generator of its device.

    Args:
        transforms: names of the transforms, applied in this order: `color`, `translation`, `cutout`.

    Raises:
        UserError: there is no transform of a name.
    """

    def __init__(self, transforms: Sequence[str] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        self.transforms = _named(transforms)

    def forward(self, images: Tensor) -> Tensor:
        """Return transformed images (N, C, H, W) of any number of channels, for images in [-1, 1]."""
        for transform in self.transforms:
            images = transform(images)
        return images


class AdaptiveAugment(nn.Module):
    """DiffAugment's transforms, each applied with a probability p that follows the overfitting of a discriminator.

    The adaptation is that of ADA (Karras et al. 2020, arXiv:2006.06676, section 3): overfitting is the mean sign of the
    scores of real images, with the objective's middle between real and generated as 0. Every few batches, p moves by a
    fixed step: up if that mean is above its target, else down. p starts at 0 and is part of the state dict. On several
    devices, the first one's scores decide.

    Args:
        transforms: as in `DiffAugment`; the paper has other ones.
        target: desired mean sign, in [-1, 1]; 0.6 in the paper.
        images: number of real images in which p can move from 0 to 1. The paper has 500,000, for runs of 25 million.
        every: number of batches between two changes of p; 4 in the paper.
    """

    p: Tensor
    signs: Tensor
    batches: Tensor

    def __init__(
        self,
        transforms: Sequence[str] = ("color", "translation", "cutout"),
        target: float = 0.6,
        images: int = 10_000,
        every: int = 4,
    ) -> None:
        super().__init__()
        if images < 1 or every < 1:
            raise UserError(f"images is {images} and every is {every}; an adaptive augmentation needs 1 or more")
        self.transforms = _named(transforms)
        self.target = target
        self.images = images
        self.every = every
        for name in ("p", "signs", "batches"):  # on the device, so that no step waits for it
            self.register_buffer(name, torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """Return images (N, C, H, W), each with its own choice of transforms, for images in [-1, 1]."""
        for transform in self.transforms:
            chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < self.p
            images = torch.where(chosen, transform(images), images)
        return images

    @torch.no_grad()
    def adapt(self, real: Tensor) -> None:
        """Record the discriminator scores (N, ...) in [0, 1] of a batch of real images, and change p if it is due."""
        self.signs += torch.sign(real - 0.5).mean()
        self.batches += 1
        due = self.batches == self.every
        devices = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
        step = self.every * len(real) * devices / self.images
        self.p += due * step * torch.sign(self.signs / self.every - self.target)
        self.p.clamp_(0, 1)
        self.signs *= ~due
        self.batches *= ~due


def adapt(augment: nn.Module, objective: Objective, real_scores: Tensor) -> None:
    """Let an adaptive augmentation record a discriminator's scores (N, ...) of real images; others do not need them."""
    if isinstance(augment, AdaptiveAugment) and isinstance(objective, AbsoluteScore):
        augment.adapt(objective.discriminator_score(real_scores))


def probabilities(augments: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return p, in [0, 1], of those augmentations that are adaptive."""
    return {name: each.p.clone() for name, each in augments.items() if isinstance(each, AdaptiveAugment)}


def require_absolute_scores(augment: nn.Module, objective: Objective) -> None:
    """Raise a UserError if an adaptive augmentation has an objective that cannot tell real from generated images."""
    if isinstance(augment, AdaptiveAugment) and not isinstance(objective, AbsoluteScore):
        raise UserError(
            f"model.diff_augment is adaptive, but scores of {type(objective).__name__} have no absolute scale: choose "
            "diff_augment=color_translation_cutout or another option of adversarial"
        )


def _named(transforms: Sequence[str]) -> list[Callable[[Tensor], Tensor]]:
    unknown = [name for name in transforms if name not in TRANSFORMS]
    if unknown:
        raise UserError(f"transforms names {', '.join(unknown)}; there are {', '.join(TRANSFORMS)}")
    return [TRANSFORMS[name] for name in transforms]


def _draw(below: int, images: Tensor) -> Tensor:
    return torch.randint(below, (len(images), 1), device=images.device)


def _covered(side: int, images: Tensor) -> Tensor:
    """Draw a stretch of half a side for each image; return a mask (N, side)."""
    length = _rounded(side / 2)
    first = _draw(side + 1 - length % 2, images) - length // 2
    place = torch.arange(side, device=images.device)
    return (place >= first) & (place < first + length)


def _rounded(value: float) -> int:
    return int(value + 0.5)  # as in the paper's code; round() would turn 2.5 into 2
