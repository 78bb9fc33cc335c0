"""Translators that fail in known ways, and their metrics."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.metrics import diagnostics
from tests.small import small_cyclegan


class Function(nn.Module):
    """A generator that is a function of its images, or a discriminator; it learns nothing."""

    size_multiple = minimum_size = 1

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


def scenes(brightness: float, seed: int, count: int = 8, size: int = 32) -> Tensor:
    """Images (N, 3, size, size) with sky, dark ground and a body, each its own, and some noise."""
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
    """A CycleGAN with these generators; the second is by default one that is as it should be."""
    model = small_cyclegan(init=lambda network: None, **arguments)
    model.gen_ab, model.gen_ba = ab, Function(darkened) if ba is None else ba
    return model.eval()


def brightened(images: Tensor) -> Tensor:
    """A fine translation of these A to these B."""
    return (images + 0.3 * (images > -0.3)).clamp(-1, 1)


def darkened(images: Tensor) -> Tensor:
    """A fine translation of these B to these A."""
    return (images - 0.3 * (images > 0.0)).clamp(-1, 1)


@torch.no_grad()
def measured(model: CycleGAN) -> dict[str, float]:
    """The metrics of a translator that rules look at, as a validation would measure them on `REAL`."""
    metrics: dict[str, float] = {}
    for source, target in model.directions:
        originals, reals = REAL[source], REAL[target]
        fakes = model.translate(originals, source, target)
        place, domain = (source + target).lower(), target.lower()
        metrics |= {
            f"change_{place}": float(diagnostics.change(fakes, originals).mean()),
            f"luminance_{place}": float(diagnostics.luminance_correlation(fakes, originals).mean()),
            f"variety_{place}": diagnostics.variety(diagnostics.thumbnails(fakes), diagnostics.thumbnails(reals)),
            f"checkerboard_{place}": float(
                diagnostics.checkerboard(fakes).mean() - diagnostics.checkerboard(reals).mean()
            ),
            f"identity_{domain}": float(diagnostics.change(model.translate(reals, source, target), reals).mean()),
        }
        for name, images in (("real", reals), ("fake", fakes)):
            scores = model.discriminator_score(images, target)
            if scores is not None:
                metrics[f"d_{name}_{domain}"] = float(scores.mean())
    return metrics


def history(*metrics: dict[str, float]) -> list[dict[str, float]]:
    """Validations of epochs 0, 1, 2 and so on."""
    return [{**row, "epoch": float(epoch), "images": 100.0 * epoch} for epoch, row in enumerate(metrics)]
