"""DualGAN: two generators and two Wasserstein critics, trained in turns with a reconstruction loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import Objective, Wasserstein
from cyclegan.losses.penalties import Penalty
from cyclegan.methods.translator import Batch, Compile
from cyclegan.methods.turns import allow_unused_parameters, take_turn
from cyclegan.methods.two_way import Fakes, TwoWay
from cyclegan.networks.batching import together
from cyclegan.networks.dualgan import DualDiscriminator, DualGenerator
from cyclegan.networks.init import truncated
from cyclegan.optim import (
    Constant,
    MakeOptimizer,
    Schedule,
    TensorFlowRMSprop,
    clip_weights,
)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the generators' loss. The defaults are those of the authors' code.

    Args:
        adversarial: weight of the adversarial term of each direction.
        cycle_a: weight of L1(rec_a, real_a); lambda_U, 100 to 1000 in the paper (section 3.2).
        cycle_b: weight of L1(rec_b, real_b); lambda_V.
    """

    adversarial: float = 1.0
    cycle_a: float = 500.0
    cycle_b: float = 500.0


@final
class DualGAN(TwoWay):
    """Unpaired translation between two domains (Yi et al. 2017, arXiv:1704.02510).

    The discriminators are updated first, and the generators are judged by the new ones. The authors generate the
    images for each turn anew; their generators are deterministic, so that one forward pass for both turns is the same.

    Args:
        generator: called with `in_channels` and `out_channels`, returns a network from images (N, in_channels, H, W) to
            images (N, out_channels, H, W), both in [-1, 1].
        discriminator: called with `in_channels`, returns a network from such images to scores (N, ...).
        init: initialises the weights of a network in place.
        adversarial: adversarial objective; None takes Wasserstein's.
        penalty: penalty added to each discriminator's loss, see `CycleGAN`; `GradientPenalty()` in the authors' code.
        weight_clip: bound of the discriminators' weights after their turn, instead of a penalty; 0.01 in the paper.
        n_critic: the generators have a turn in one of this number of batches, the discriminators in all; 1 in the
            authors' code, 2 to 4 in the paper.
        loss_weights: weights of the generators' terms.
        optimizer: called with the parameter groups of both players, returns an optimiser.
        discriminator_lr: learning rate of the discriminators; None takes that of the optimiser.
        schedule: factor on the learning rates, by 0-based epoch; None takes `Constant()`.
        channels: number of channels of the two domains, by name; None takes 3 channels of A and B.
        channels_last: whether weights and feature maps have the memory format channels_last, which is faster.
        compile: see `Translator.compile_networks`.

    Raises:
        UserError: there are not two domains, `weight_clip` is not positive, or `n_critic` is less than 1.
    """

    advice = MappingProxyType(
        {
            "discriminator_won": "a lower model.discriminator_lr, a smaller discriminator, or more images",
            "copies_input": "smaller model.loss_weights.cycle_a and cycle_b",
            "outputs_alike": "larger model.loss_weights.cycle_a and cycle_b, another seed",
            "checkerboard": "waiting if it falls, else a new run with generator=resnet9_resize",
        }
    )

    def __init__(
        self,
        generator: Callable[..., nn.Module] = DualGenerator,
        discriminator: Callable[..., nn.Module] = DualDiscriminator,
        init: Callable[[nn.Module], None] = truncated,
        adversarial: Objective | None = None,
        penalty: Penalty | None = None,
        weight_clip: float | None = None,
        n_critic: int = 1,
        loss_weights: LossWeights | None = None,
        optimizer: MakeOptimizer = TensorFlowRMSprop,
        discriminator_lr: float | None = None,
        schedule: Schedule | None = None,
        channels: Mapping[str, int] | None = None,
        channels_last: bool = True,
        compile: Compile = "auto",  # noqa: A002, the key's name
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.adversarial = Wasserstein() if adversarial is None else adversarial
        self.penalty = penalty
        self.weight_clip = weight_clip
        self.n_critic = n_critic
        self.loss_weights = LossWeights() if loss_weights is None else loss_weights
        self.make_optimizer = optimizer
        self.discriminator_lr = discriminator_lr
        self.schedule = Constant() if schedule is None else schedule
        if weight_clip is not None and weight_clip <= 0:
            raise UserError(f"model.weight_clip is {weight_clip}; it bounds weights, so it is more than 0")
        if n_critic < 1:
            raise UserError(f"model.n_critic is {n_critic}; it counts batches, so it is 1 or more")

        self.build(generator, discriminator, init, channels, channels_last)
        self.compile_networks = compile

    # ------------------------------------------------------------------------------------ the algorithm

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminators, then in one of `n_critic` batches the generators, on a batch of each domain."""
        trains_generators = (self.global_step + 1) % self.n_critic == 0
        with torch.set_grad_enabled(trains_generators):
            images = self.fakes(batch)
        take_turn(self, "discriminators", lambda: self.discriminator_losses(images), closes=not trains_generators)
        if self.weight_clip is not None:
            clip_weights([self.disc_a, self.disc_b], self.weight_clip)
        if trains_generators:
            take_turn(self, "generators", lambda: self.generator_losses(images), closes=True)

    def discriminator_losses(self, images: Fakes) -> dict[str, Tensor]:
        """Return the discriminators' losses on real and generated images."""
        losses = {}
        for name, disc, real, fake in (
            ("a", self.disc_a, images.real_a, images.fake_a.detach()),
            ("b", self.disc_b, images.real_b, images.fake_b.detach()),
        ):
            losses[f"disc_{name}"] = self.adversarial.discriminator(*together(disc, real, fake))
            if self.penalty is not None and (self.global_step + 1) % self.penalty.every == 0:
                losses[f"penalty_{name}"] = self.penalty(disc, real, fake)
        return losses

    def generator_losses(self, images: Fakes) -> dict[str, Tensor]:
        """Return the weighted terms of the generators' loss."""
        weights = self.loss_weights
        return {
            "adv_ab": weights.adversarial * self.adversarial.generator(self.disc_b(images.fake_b)),
            "adv_ba": weights.adversarial * self.adversarial.generator(self.disc_a(images.fake_a)),
            "cycle_a": weights.cycle_a * F.l1_loss(self.gen_ba(images.fake_b), images.real_a),
            "cycle_b": weights.cycle_b * F.l1_loss(self.gen_ab(images.fake_a), images.real_b),
        }

    # ------------------------------------------------------------------------------------ Lightning's hooks

    def setup(self, stage: str) -> None:
        allow_unused_parameters(self)

    # ------------------------------------------------------------------------- the rest of the Translator interface

    def compiled(self) -> list[nn.Module]:
        """Return the networks, without the discriminators if a penalty takes their second derivatives."""
        return [self.gen_ab, self.gen_ba, *([self.disc_a, self.disc_b] if self.penalty is None else [])]
