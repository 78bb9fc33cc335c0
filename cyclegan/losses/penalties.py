"""Extra terms of a discriminator that look at more than its scores."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cyclegan.errors import UserError


@dataclass(frozen=True)
class GradientPenalty:
    """Draws a critic's slope towards `target` between real and fake images (Gulrajani et al. 2017, arXiv:1704.00028).

    Of each pair a random point on the line between them is taken, and `weight · mean (‖∇ critic‖₂ − target)²` is
    returned, the norm over all channels and pixels of an image, of the gradient of its scores' sum. Meant for
    critics that do not mix samples, so not for batch norm.

    Args:
        weight: 10 in the paper (algorithm 1).
        target: 1 in the paper.

    Raises:
        UserError: the weight is negative.
    """

    weight: float = 10.0
    target: float = 1.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise UserError(f"a gradient penalty of weight {self.weight} would reward steepness; it must be 0 or more")

    def __call__(self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """The weighted penalty, with gradients to the critic's weights only.

        Args:
            critic: gives scores of any shape (N, ...) to images.
            real: (N, C, H, W).
            fake: (N, C, H, W).

        Raises:
            UserError: there are not as many fakes as real images, or they have another shape.
        """
        if real.shape != fake.shape:
            raise UserError(
                f"the gradient penalty needs a fake of the same shape for every real image: "
                f"real is {tuple(real.shape)}, fake is {tuple(fake.shape)}"
            )
        kind = real.device.type
        # A gradient's gradient in half precision drowns in rounding. Where autocast is on, the weights are float32;
        # where not, real images come in the weights' own precision.
        dtype = torch.float32 if torch.is_autocast_enabled(kind) else real.dtype
        with torch.autocast(kind, enabled=False):
            share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=dtype)
            between = torch.lerp(fake.detach().to(dtype), real.detach().to(dtype), share).requires_grad_()
            (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            norms = gradient.flatten(start_dim=1).norm(dim=1)  # (N,)
            penalty: Tensor = self.weight * (norms - self.target).square().mean()
        return penalty
