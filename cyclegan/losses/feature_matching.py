"""Feature matching: generated images have the same mean features as real ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cyclegan.losses.adversarial import widened


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Sum over feature maps of the mean squared difference of batch means (Salimans et al. 2016, arXiv:1606.03498).

    In this form in DiscoGAN's code (Kim et al. 2017, arXiv:1703.05192). Means of a batch of one are no statistics.

    Args:
        real: features (N, C, h, w) of a discriminator's layers for real images.
        fake: those for generated images.
    """
    means = [(widened(one).mean(0), widened(other).mean(0)) for one, other in zip(real, fake, strict=True)]
    return torch.stack([(one - other).square().mean() for one, other in means]).sum()
