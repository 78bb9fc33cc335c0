"""Translators that fail in known ways, and their validation metrics."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.validation.one_pass import collect
from cyclegan.validation.per_image import PerImage
from cyclegan.validation.summary import summary
from tests.small import small_cyclegan


class Function(nn.Module):
    """A generator or discriminator without parameters, given by a function."""

    size_multiple = minimum_size = 1

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


def scenes(brightness: float, seed: int, count: int = 8, size: int = 32) -> Tensor:
    """Draw random images (N, 3, size, size) of a sky, dark ground and a body, with noise."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.full((count, 3, size, size), -0.5)
    for i in range(count):
        horizon, left, top = torch.randint(size // 4, size // 2, (3,), generator=rng).tolist()
        images[i, :, :horizon] = 0.5 * torch.rand(3, 1, 1, generator=rng)
        images[i, :, top : top + size // 3, left : left + size // 2] = brightness
    return (images + 0.02 * torch.randn(images.shape, generator=rng)).clamp(-1, 1)


REAL = {"A": scenes(0.1, seed=1), "B": scenes(0.9, seed=2)}
"""Held-out images of both domains."""


def cyclegan(ab: nn.Module, ba: nn.Module | None = None, **arguments: Any) -> CycleGAN:
    """Build a CycleGAN with these generators; `darkened` is the default for B→A."""
    model = small_cyclegan(init=lambda network: None, **arguments)
    model.gen_ab, model.gen_ba = ab, Function(darkened) if ba is None else ba
    return model.eval()


def brightened(images: Tensor) -> Tensor:
    """A good translation of A to B."""
    return (images + 0.3 * (images > -0.3)).clamp(-1, 1)


def darkened(images: Tensor) -> Tensor:
    """A good translation of B to A."""
    return (images - 0.3 * (images > 0.0)).clamp(-1, 1)


@torch.no_grad()
def measured(model: CycleGAN) -> dict[str, float]:
    """Measure all metrics on `REAL` that need no ground truth and no pretrained network."""
    held_out: Any = SimpleNamespace(
        domains=tuple(REAL),
        indices={domain: range(len(images)) for domain, images in REAL.items()},
        image=lambda domain, index: REAL[domain][index],
        ground_truth={},
    )
    per_image = PerImage(model, model.directions, None, nullcontext)
    return summary(collect(per_image, held_out, batch_size=8), model.directions, {})


def history(*metrics: dict[str, float]) -> list[dict[str, float]]:
    """Make a history of validations at epochs 0, 1, 2 and so on."""
    return [{**row, "epoch": float(epoch), "images": 100.0 * epoch} for epoch, row in enumerate(metrics)]
