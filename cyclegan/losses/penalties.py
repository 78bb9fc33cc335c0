"""Penalties that are added to the discriminator's loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from cyclegan.errors import UserError


class Penalty(Protocol):
    """A penalty of a discriminator, computed in one of every `every` optimiser steps."""

    @property
    def every(self) -> int: ...

    def __call__(self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class GradientPenalty:
    """Gradient penalty of WGAN-GP: `weight · mean (‖∇ critic‖₂ − target)²` (Gulrajani et al. 2017, arXiv:1704.00028).

    The gradient of the sum of an image's scores is taken at a random point between a real and a fake image; its norm
    is over all channels and pixels. The critic must not mix samples, so it cannot have batch norm.

    Args:
        weight: weight of the penalty; 10 in the paper (algorithm 1).
        target: desired norm of the gradient; 1 in the paper.
    """

    weight: float = 10.0
    target: float = 1.0
    every: ClassVar[int] = 1

    def __call__(self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """Return the weighted penalty of a critic with scores (N, ...), for real and fake images (N, C, H, W).

        Its gradients reach only the critic's weights.

        Raises:
            UserError: real and fake images have different shapes.
        """
        if real.shape != fake.shape:
            raise UserError(
                "the gradient penalty needs real and generated images of the same shape: "
                f"real is {tuple(real.shape)}, fake is {tuple(fake.shape)}"
            )
        dtype = _precise(real)
        with torch.autocast(real.device.type, enabled=False):
            share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=dtype)
            between = torch.lerp(fake.detach().to(dtype), real.detach().to(dtype), share).requires_grad_()
            (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            norms = gradient.flatten(start_dim=1).norm(dim=1)  # (N,)
            penalty: Tensor = self.weight * (norms - self.target).square().mean()
        return penalty


@dataclass(frozen=True)
class R1:
    """R1: `weight / 2 · mean ‖∇ critic(real)‖²` (Mescheder et al. 2018, arXiv:1801.04406, equation 9).

    The gradient is that of the sum of an image's scores, and its squared norm is divided by their number: the paper's
    term for one score, and about its mean over the patches of a PatchGAN. The critic must not mix samples.

    Args:
        weight: γ; 10 in the paper. StyleGAN2-ADA's is 0.0002 · height · width / batch size: 13 at 256 × 256 with batch
            size 1, and 0.2 at 64 × 64 with 4. With a far larger one, a discriminator scores all images alike.
        every: compute the term in one of this number of optimiser steps, and multiply it by this number; 16 in
            StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, section 3.1).
    """

    weight: float = 10.0
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UserError(f"model.penalty.every is {self.every}; it counts optimiser steps, so it is 1 or more")

    def __call__(self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """Return the weighted penalty of a critic with scores (N, ...), for real images (N, C, H, W)."""
        images = real.detach().to(_precise(real)).requires_grad_()
        with torch.autocast(real.device.type, enabled=False):
            scores = critic(images)
            (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
            return self.every * self.weight / 2 * gradient.square().sum() / scores.numel()


def _precise(images: Tensor) -> torch.dtype:
    # Second derivatives are too imprecise in half precision. With autocast the weights are float32; without it, real
    # images have the precision of the weights.
    return torch.float32 if torch.is_autocast_enabled(images.device.type) else images.dtype
