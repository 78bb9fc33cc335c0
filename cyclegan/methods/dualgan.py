"""DualGAN: two generators and two Wasserstein critics, trained in turns with a reconstruction loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import AbsoluteScore, Objective, Wasserstein
from cyclegan.losses.penalties import Penalty
from cyclegan.methods.translator import Batch, Compile, Translator
from cyclegan.methods.turns import allow_unused_parameters, take_turn
from cyclegan.networks.batching import together
from cyclegan.networks.dualgan import DualDiscriminator, DualGenerator
from cyclegan.networks.init import truncated
from cyclegan.optim import (
    Constant,
    MakeOptimizer,
    Schedule,
    TensorFlowRMSprop,
    clip_weights,
    player_groups,
    scheduled,
)


class Fakes(NamedTuple):
    """Images (N, C, H, W) in [-1, 1] of one training step. The last letter of a name is the domain."""

    real_a: Tensor
    fake_b: Tensor  # gen_ab(real_a)
    real_b: Tensor
    fake_a: Tensor  # gen_ba(real_b)


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
class DualGAN(Translator):
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
        channels = {"A": 3, "B": 3} if channels is None else channels
        self.adversarial = Wasserstein() if adversarial is None else adversarial
        self.penalty = penalty
        self.weight_clip = weight_clip
        self.n_critic = n_critic
        self.loss_weights = LossWeights() if loss_weights is None else loss_weights
        self.make_optimizer = optimizer
        self.discriminator_lr = discriminator_lr
        self.schedule = Constant() if schedule is None else schedule
        if len(channels) != 2:
            raise UserError(f"model.channels names {list(channels)}: DualGAN needs two domains; data.domains sets them")
        if weight_clip is not None and weight_clip <= 0:
            raise UserError(f"model.weight_clip is {weight_clip}; it bounds weights, so it is more than 0")
        if n_critic < 1:
            raise UserError(f"model.n_critic is {n_critic}; it counts batches, so it is 1 or more")

        (self.a, in_a), (self.b, in_b) = channels.items()
        self.gen_ab = generator(in_channels=in_a, out_channels=in_b)
        self.gen_ba = generator(in_channels=in_b, out_channels=in_a)
        self.disc_a = discriminator(in_channels=in_a)
        self.disc_b = discriminator(in_channels=in_b)
        networks = (self.gen_ab, self.gen_ba, self.disc_a, self.disc_b)
        for network in networks:
            init(network)
            if channels_last:
                network.to(memory_format=torch.channels_last)
        self.compile_networks = compile

        self.domains = (self.a, self.b)
        self.channels = dict(channels)
        self.directions = ((self.a, self.b), (self.b, self.a))
        self.size_multiple = int(self.gen_ab.size_multiple)  # type: ignore[arg-type]
        self.minimum_size = int(self.gen_ab.minimum_size)  # type: ignore[arg-type]
        self.minimum_crop = max(int(network.minimum_size) for network in networks)  # type: ignore[arg-type]

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

    def fakes(self, batch: Batch) -> Fakes:
        """Translate a batch of each domain to the other domain."""
        real_a, real_b = batch[self.a], batch[self.b]
        return Fakes(real_a, self.gen_ab(real_a), real_b, self.gen_ba(real_b))

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

    def configure_optimizers(self) -> Any:
        """Return one optimiser with a parameter group for each player, and the schedule of its learning rates."""
        groups = player_groups([self.gen_ab, self.gen_ba], [self.disc_a, self.disc_b], self.discriminator_lr)
        return scheduled(self.make_optimizer(groups), self.schedule)

    # ------------------------------------------------------------------------------------ the Translator interface

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        self.require_direction(source, target)
        translated: Tensor = (self.gen_ab if source == self.a else self.gen_ba)(images)
        return translated

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return the images of each domain, their translations and reconstructions."""
        real_a, fake_b, real_b, fake_a = self.fakes(batch)
        rec_a, rec_b = self.gen_ba(fake_b), self.gen_ab(fake_a)
        return {"real_a": real_a, "fake_b": fake_b, "rec_a": rec_a, "real_b": real_b, "fake_a": fake_a, "rec_b": rec_b}

    def compiled(self) -> list[nn.Module]:
        """Return the networks, without the discriminators if a penalty takes their second derivatives."""
        return [self.gen_ab, self.gen_ba, *([self.disc_a, self.disc_b] if self.penalty is None else [])]

    def generators(self) -> Mapping[str, nn.Module]:
        return {"gen_ab": self.gen_ab, "gen_ba": self.gen_ba}

    def discriminator_score(self, images: Tensor, domain: str) -> Tensor | None:
        """Return the mean over the score map of the domain's discriminator; see `Translator.discriminator_score`."""
        if not isinstance(self.adversarial, AbsoluteScore):
            return None
        scores = {self.a: self.disc_a, self.b: self.disc_b}[domain](images)
        return self.adversarial.discriminator_score(scores).flatten(1).mean(1)
