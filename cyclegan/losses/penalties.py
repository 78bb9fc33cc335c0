"""Penalties that are added to the discriminator's loss."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cyclegan.errors import UserError


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
        kind = real.device.type
        # Second derivatives are too imprecise in half precision. With autocast the weights are float32; without it,
        # real images have the precision of the weights.
        dtype = torch.float32 if torch.is_autocast_enabled(kind) else real.dtype
        with torch.autocast(kind, enabled=False):
            share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=dtype)
            between = torch.lerp(fake.detach().to(dtype), real.detach().to(dtype), share).requires_grad_()
            (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            norms = gradient.flatten(start_dim=1).norm(dim=1)  # (N,)
            penalty: Tensor = self.weight * (norms - self.target).square().mean()
        return penalty
