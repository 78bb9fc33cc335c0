"""Adversarial objectives. Scores are logits (N, ...); losses are scalars, at least in float32."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor


class Objective(Protocol):
    """The losses of the discriminator and of the generator, of scores of real and of generated images."""

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor: ...

    def generator(self, fake_scores: Tensor) -> Tensor: ...


@runtime_checkable
class AbsoluteScore(Protocol):
    """An objective whose scores have an absolute scale. Training does not need it."""

    def discriminator_score(self, scores: Tensor) -> Tensor:
        """Map scores to [0, 1], where 1 means real."""
        ...


@dataclass(frozen=True)
class LeastSquares:
    """LSGAN with real at 1 and fake at 0 (Mao et al. 2017, arXiv:1611.04076), the objective of CycleGAN.

    The discriminator's loss is halved as in CycleGAN (arXiv:1703.10593, section 7.1), the generator's is not, as in
    the authors' code.

    Args:
        real_label: what the discriminator's scores of real images should be; less than 1, such as 0.9, is one-sided
            label smoothing (Salimans et al. 2016, arXiv:1606.03498, section 3.4). The generator's target stays 1.
    """

    real_label: float = 1.0

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """½ · (mean (real − label)² + mean fake²)."""
        real = (widened(real_scores) - self.real_label).square().mean()
        return 0.5 * (real + widened(fake_scores).square().mean())

    def generator(self, fake_scores: Tensor) -> Tensor:
        """Mean (fake − 1)²."""
        return (widened(fake_scores) - 1).square().mean()

    def discriminator_score(self, scores: Tensor) -> Tensor:
        """The scores, clamped to their targets 0 and 1."""
        return widened(scores).clamp(0, 1)


@dataclass(frozen=True)
class Vanilla:
    """Cross-entropy, with the generator's non-saturating form (Goodfellow et al. 2014, arXiv:1406.2661, section 3).

    The discriminator's loss is halved, as in the authors' code.

    Args:
        real_label: as in `LeastSquares`, the probability of being real.
    """

    real_label: float = 1.0

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """−½ · (mean (label · log σ(real) + (1 − label) · log (1 − σ(real))) + mean log (1 − σ(fake)))."""
        scores = widened(real_scores)
        # log (1 − σ(x)) = log σ(x) − x
        real = (F.logsigmoid(scores) - (1 - self.real_label) * scores).mean()
        return -0.5 * (real + F.logsigmoid(-widened(fake_scores)).mean())

    def generator(self, fake_scores: Tensor) -> Tensor:
        """−mean log σ(fake)."""
        return -F.logsigmoid(widened(fake_scores)).mean()

    def discriminator_score(self, scores: Tensor) -> Tensor:
        """σ(scores), the probability of being real."""
        return widened(scores).sigmoid()


class Hinge:
    """Hinge loss with margins ±1 on the discriminator's scores (Lim & Ye 2017, arXiv:1705.02894)."""

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """Mean max(0, 1 − real) + mean max(0, 1 + fake)."""
        return F.relu(1 - widened(real_scores)).mean() + F.relu(1 + widened(fake_scores)).mean()

    def generator(self, fake_scores: Tensor) -> Tensor:
        """−mean fake."""
        return -widened(fake_scores).mean()

    def discriminator_score(self, scores: Tensor) -> Tensor:
        """(scores + 1) / 2, clamped to [0, 1]."""
        return ((widened(scores) + 1) / 2).clamp(0, 1)


class Wasserstein:
    """The difference of mean scores (Arjovsky et al. 2017, arXiv:1701.07875); needs a `GradientPenalty`.

    Only differences of its scores have a meaning, so there is no `discriminator_score`.
    """

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """Mean fake − mean real."""
        return widened(fake_scores).mean() - widened(real_scores).mean()

    def generator(self, fake_scores: Tensor) -> Tensor:
        """−mean fake."""
        return -widened(fake_scores).mean()


def widened(scores: Tensor) -> Tensor:
    """Convert half-precision scores to float32, because a mean in bfloat16 has only two digits."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
