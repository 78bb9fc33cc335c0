"""DiscoGAN: two generators and two discriminators, trained in alternate steps, with feature matching."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import Objective, Vanilla
from cyclegan.losses.feature_matching import feature_matching
from cyclegan.methods.translator import Batch, Compile
from cyclegan.methods.turns import allow_unused_parameters
from cyclegan.methods.two_way import TwoWay
from cyclegan.networks.discogan import DiscoDiscriminator, DiscoGenerator
from cyclegan.networks.init import as_built
from cyclegan.optim import Constant, MakeOptimizer, Schedule, frozen


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the generators' loss. The defaults are those of the authors' code.

    Each direction's loss is (1 − rate) · (adversarial · GAN + features · feature matching) + rate · reconstruction.

    Args:
        adversarial: weight of the adversarial term.
        features: weight of feature matching.
        starting_rate: rate in the first steps, with which the generators first learn to draw the other domain.
        curriculum: number of these steps, those of the discriminators included.
        rate: rate of all later steps.
    """

    adversarial: float = 0.1
    features: float = 0.9
    starting_rate: float = 0.01
    curriculum: int = 10_000
    rate: float = 0.5


adam_decay = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999), weight_decay=1e-5, fused=True)


@final
class DiscoGAN(TwoWay):
    """Unpaired translation between two domains (Kim et al. 2017, arXiv:1703.05192).

    A step trains either the discriminators or the generators, so its loss is a function of the step's number, and
    one optimiser is the same as the authors' two: it skips the weights of the player that has no gradients.

    The authors also test with the statistics of the batch. Here translations of an image do not depend on others:
    they use the running statistics of batch norm, which move in the discriminators' steps too. Each of several
    devices has the statistics of its own batch, in batch norm and in feature matching.

    Args:
        generator: called with `in_channels` and `out_channels`, returns a network from images (N, in_channels, H, W) to
            images (N, out_channels, H, W), both in [-1, 1].
        discriminator: called with `in_channels`, returns a network from such images to logits (N, ...), with a method
            `scores_and_features`, see `DiscoDiscriminator`.
        init: initialises the weights of a network in place.
        adversarial: adversarial objective; None takes the cross-entropy.
        loss_weights: weights of the generators' terms.
        update_interval: the first of each this number of steps trains the discriminators, the others the generators.
        optimizer: called with the parameter groups of both players, returns an optimiser.
        discriminator_lr: learning rate of the discriminators; None takes that of the optimiser.
        schedule: factor on the learning rates, by 0-based epoch; None takes `Constant()`.
        channels: number of channels of the two domains, by name; None takes 3 channels of A and B.
        channels_last: whether weights and feature maps have the memory format channels_last, which is faster.
        compile: see `Translator.compile_networks`.

    Raises:
        UserError: there are not two domains, `update_interval` is less than 2, or the discriminator has no method
            `scores_and_features`.
    """

    minimum_batch = 2  # feature matching compares means of a batch

    advice = MappingProxyType(
        {
            "discriminator_won": "a larger model.update_interval, a lower model.discriminator_lr, or more images",
            "copies_input": "waiting until model.loss_weights.curriculum is over, else a smaller rate",
            "outputs_alike": "a larger data.batch_size, a larger model.loss_weights.starting_rate, another seed",
        }
    )

    def __init__(
        self,
        generator: Callable[..., nn.Module] = DiscoGenerator,
        discriminator: Callable[..., nn.Module] = DiscoDiscriminator,
        init: Callable[[nn.Module], None] = as_built,
        adversarial: Objective | None = None,
        loss_weights: LossWeights | None = None,
        update_interval: int = 3,
        optimizer: MakeOptimizer = adam_decay,
        discriminator_lr: float | None = None,
        schedule: Schedule | None = None,
        channels: Mapping[str, int] | None = None,
        channels_last: bool = True,
        compile: Compile = "auto",  # noqa: A002, the key's name
    ) -> None:
        super().__init__()
        self.adversarial = Vanilla() if adversarial is None else adversarial
        self.loss_weights = LossWeights() if loss_weights is None else loss_weights
        self.update_interval = update_interval
        self.make_optimizer = optimizer
        self.discriminator_lr = discriminator_lr
        self.schedule = Constant() if schedule is None else schedule
        if update_interval < 2:
            raise UserError(f"model.update_interval is {update_interval}; the generators need steps too: 2 or more")

        self.build(generator, discriminator, init, channels, channels_last)
        if not hasattr(self.disc_a, "scores_and_features"):
            raise UserError(f"{type(self.disc_a).__name__} gives no features to match: take discriminator=discogan")
        self.compile_networks = compile

    # ------------------------------------------------------------------------------------ the algorithm

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one player on a batch: the discriminators' or the generators', by the step's number."""
        player = self.generator_losses if self.global_step % self.update_interval else self.discriminator_losses
        losses = player(batch)
        logged = {f"train/{name}": loss.detach() for name, loss in losses.items()}
        self.log_dict(logged, batch_size=1, logger=False)
        return torch.stack(list(losses.values())).sum()

    def discriminator_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the discriminators' losses, on real and generated images in calls of their own for batch norm."""
        with torch.no_grad():
            real_a, fake_b, real_b, fake_a = self.fakes(batch)
        return {
            "disc_a": self.adversarial.discriminator(self.disc_a(real_a), self.disc_a(fake_a)),
            "disc_b": self.adversarial.discriminator(self.disc_b(real_b), self.disc_b(fake_b)),
        }

    def generator_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted terms of the generators' loss, without gradients of the discriminators' weights."""
        weights, images = self.loss_weights, self.visuals(batch)
        rate = weights.starting_rate if self.global_step < weights.curriculum else weights.rate
        losses = {}
        for source, target, disc in (("a", "b", self.disc_b), ("b", "a", self.disc_a)):
            with frozen(disc):
                _, real_features = disc.scores_and_features(images[f"real_{target}"])  # type: ignore[operator]
                scores, features = disc.scores_and_features(images[f"fake_{target}"])  # type: ignore[operator]
            matching = feature_matching(real_features, features)
            losses[f"adv_{source}{target}"] = (1 - rate) * weights.adversarial * self.adversarial.generator(scores)
            losses[f"features_{source}{target}"] = (1 - rate) * weights.features * matching
            error = F.mse_loss(images[f"rec_{source}"], images[f"real_{source}"])
            losses[f"cycle_{source}"] = rate * error / 4  # the authors' images are in [0, 1]
        return losses

    # ------------------------------------------------------------------------------------ Lightning's hooks

    def setup(self, stage: str) -> None:
        allow_unused_parameters(self)

    # ------------------------------------------------------------------------- the rest of the Translator interface

    def compiled(self) -> list[nn.Module]:
        """Return the generators; the discriminators run in two ways."""
        return [self.gen_ab, self.gen_ba]
