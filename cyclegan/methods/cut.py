"""CUT and FastCUT: one generator, whose translations keep the content of each patch by a contrastive loss."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import AbsoluteScore, LeastSquares, Objective
from cyclegan.losses.patch_nce import patch_nce
from cyclegan.losses.penalties import Penalty
from cyclegan.methods.translator import Batch, Compile, Translator
from cyclegan.methods.turns import allow_unused_parameters, take_turn
from cyclegan.networks.antialiased import AntialiasedPatchDiscriminator, AntialiasedResnetGenerator
from cyclegan.networks.batching import together
from cyclegan.networks.init import xavier
from cyclegan.networks.patch_sampler import PatchSampler
from cyclegan.optim import Linear, MakeOptimizer, Schedule, adam, player_groups, scheduled


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the generator's loss. The defaults are CUT's (arXiv:2007.15651, section 3.3).

    Args:
        adversarial: weight of the adversarial term.
        nce: weight of PatchNCE; with `identity`, of the mean of both. 1 in CUT, 10 in FastCUT.
    """

    adversarial: float = 1.0
    nce: float = 1.0


@final
class CUT(Translator):
    """Unpaired translation in one direction, without a way back (Park et al. 2020, arXiv:2007.15651).

    The discriminator is updated first; the generator and the feature network, which are one player, are judged by the
    new one. The generator's encoder describes the patches of the translation and of its input, and the feature network
    maps both to embeddings, of which those at the same position shall be the most similar.

    Args:
        generator: called with `in_channels` and `out_channels`, returns a network from images (N, in_channels, H, W) to
            images (N, out_channels, H, W), both in [-1, 1], with `features` as of `AntialiasedResnetGenerator`.
        discriminator: called with `in_channels`, returns a network from such images to logits (N, ...).
        init: initialises the weights of a network in place.
        adversarial: adversarial objective; None takes least squares.
        penalty: penalty added to the discriminator's loss; see `CycleGAN`.
        loss_weights: weights of the generator's terms.
        identity: whether PatchNCE is also computed for images of the target domain and their translations, half each.
        flip_equivariance: whether half of the batches are translated mirrored, and their features mirrored back.
        taps: numbers of the generator's layers whose features are compared; None takes `generator.taps`.
        patches: number of patches of each image and layer.
        temperature: temperature of PatchNCE.
        optimizer: called with the parameter groups of both players, returns an optimiser.
        discriminator_lr: learning rate of the discriminator; None takes that of the optimiser.
        schedule: factor on the learning rates, by 0-based epoch; None takes `Linear(400)`.
        direction: `"A2B"` translates the first domain into the second, `"B2A"` the second into the first.
        channels: number of channels of the two domains, by name; None takes 3 channels of A and B.
        channels_last: whether weights and feature maps have the memory format channels_last, which is faster.
        compile: see `Translator.compile_networks`.

    Raises:
        UserError: there are not two domains of the same number of channels, the generator has no features, or
            `direction` or `taps` has an invalid value.
    """

    advice = MappingProxyType(
        {
            "discriminator_won": "a lower model.discriminator_lr, a smaller discriminator, augmentation=light, or more "
            "images",
            "copies_input": "a larger model.loss_weights.adversarial, or a smaller model.loss_weights.nce",
            "outputs_alike": "a larger model.loss_weights.nce, a lower model.optimizer.lr, another seed",
            "luminance_inverted": "model.identity=true, or a new run with another seed",
            "identity_rising": "model.identity=true, a larger model.loss_weights.nce, or a lower "
            "model.optimizer.lr and an earlier checkpoint",
            "checkerboard": "waiting if it falls, else a lower model.optimizer.lr",
        }
    )

    def __init__(
        self,
        generator: Callable[..., nn.Module] = AntialiasedResnetGenerator,
        discriminator: Callable[..., nn.Module] = AntialiasedPatchDiscriminator,
        init: Callable[[nn.Module], None] = xavier,
        adversarial: Objective | None = None,
        penalty: Penalty | None = None,
        loss_weights: LossWeights | None = None,
        identity: bool = True,
        flip_equivariance: bool = False,
        taps: Sequence[int] | None = None,
        patches: int = 256,
        temperature: float = 0.07,
        optimizer: MakeOptimizer = adam,
        discriminator_lr: float | None = None,
        schedule: Schedule | None = None,
        direction: Literal["A2B", "B2A"] = "A2B",
        channels: Mapping[str, int] | None = None,
        channels_last: bool = True,
        compile: Compile = "auto",  # noqa: A002, the key's name
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        channels = {"A": 3, "B": 3} if channels is None else channels
        self.adversarial = LeastSquares() if adversarial is None else adversarial
        self.penalty = penalty
        self.loss_weights = LossWeights() if loss_weights is None else loss_weights
        self.identity = identity
        self.flip_equivariance = flip_equivariance
        self.temperature = temperature
        self.make_optimizer = optimizer
        self.discriminator_lr = discriminator_lr
        self.schedule = Linear(total_epochs=400) if schedule is None else schedule
        if len(channels) != 2 or len(set(channels.values())) != 1:
            raise UserError(
                f"model.channels is {dict(channels)}: CUT needs two domains of the same number of channels, as one "
                "network encodes both; data.domains sets them"
            )
        if direction not in ("A2B", "B2A"):
            raise UserError(f"model.direction is {direction!r}; it is A2B or B2A")

        self.source, self.target = list(channels) if direction == "A2B" else list(channels)[::-1]
        count = channels[self.source]
        self.gen = generator(in_channels=count, out_channels=count)
        if not hasattr(self.gen, "features"):
            raise UserError(f"{type(self.gen).__name__} has no features: choose generator=resnet9_antialiased")
        self.disc = discriminator(in_channels=count)
        self.size_multiple = int(self.gen.size_multiple)  # type: ignore[arg-type]
        self.minimum_size = int(self.gen.minimum_size)  # type: ignore[arg-type]
        self.taps = tuple(self.gen.taps if taps is None else taps)  # type: ignore[arg-type]
        with torch.no_grad():
            features = self.features(torch.zeros(1, count, self.minimum_size, self.minimum_size))
        self.sampler = PatchSampler([each.shape[1] for each in features], patches=patches)
        for network in (self.gen, self.disc, self.sampler):
            init(network)
            if channels_last:
                network.to(memory_format=torch.channels_last)
        self.compile_networks = compile

        self.domains = tuple(channels)
        self.channels = dict(channels)
        self.directions = ((self.source, self.target),)
        self.minimum_crop = max(self.minimum_size, int(self.disc.minimum_size))  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------ the algorithm

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator, then the generator with its feature network, on a batch of each domain."""
        inputs, real = batch[self.source], batch[self.target]
        mirrored = self.flip_equivariance and random.random() < 0.5  # noqa: S311, no secret
        if self.identity:
            fake, idt = together(self.gen, mirror(inputs, mirrored), mirror(real, mirrored))
        else:
            fake, idt = self.gen(mirror(inputs, mirrored)), None
        take_turn(self, "discriminators", lambda: self.discriminator_losses(real, fake), closes=False)
        take_turn(self, "generators", lambda: self.generator_losses(inputs, real, fake, idt, mirrored), closes=True)

    def discriminator_losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the discriminator's loss on real and generated images (N, C, H, W)."""
        fake = fake.detach()
        losses = {"disc": self.adversarial.discriminator(*together(self.disc, real, fake))}
        if self.penalty is not None and (self.global_step + 1) % self.penalty.every == 0:
            losses["penalty"] = self.penalty(self.disc, real, fake)
        return losses

    def generator_losses(
        self, inputs: Tensor, real: Tensor, fake: Tensor, idt: Tensor | None, mirrored: bool
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the loss of the generator and the feature network."""
        weights = self.loss_weights
        share = 1.0 if idt is None else 0.5
        losses = {"adv": weights.adversarial * self.adversarial.generator(self.disc(fake))}
        losses["nce"] = share * weights.nce * self.nce(inputs, fake, mirrored)
        if idt is not None:
            losses["nce_identity"] = share * weights.nce * self.nce(real, idt, mirrored)
        return losses

    def nce(self, inputs: Tensor, outputs: Tensor, mirrored: bool) -> Tensor:
        """Return PatchNCE of outputs (N, C, H, W), which may be mirrored, and their inputs, as the mean over layers."""
        with torch.no_grad():
            features = self.features(inputs)
            positions = self.sampler.positions(features)
            keys = self.sampler(features, positions)
        queries = self.sampler([mirror(each, mirrored) for each in self.features(outputs)], positions)
        losses = [patch_nce(query, key, self.temperature) for query, key in zip(queries, keys, strict=True)]
        return torch.stack(losses).mean()

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the generator's features (N, C, h, w) of images at each of `taps`."""
        return self.gen.features(images, self.taps)  # type: ignore[no-any-return, operator]

    # ------------------------------------------------------------------------------------ Lightning's hooks

    def setup(self, stage: str) -> None:
        allow_unused_parameters(self)

    def configure_optimizers(self) -> Any:
        """Return one optimiser with a parameter group for each player, and the schedule of its learning rates."""
        groups = player_groups([self.gen, self.sampler], [self.disc], self.discriminator_lr)
        return scheduled(self.make_optimizer(groups), self.schedule)

    # ------------------------------------------------------------------------------------ the Translator interface

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        self.require_direction(source, target)
        return self.gen(images)  # type: ignore[no-any-return]

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return the inputs, their translations, and images of the target domain with theirs."""
        inputs, real = batch[self.source], batch[self.target]
        return {"input": inputs, "fake": self.gen(inputs), "real": real, "identity": self.gen(real)}

    def compiled(self) -> list[nn.Module]:
        """Return the networks, without the discriminator if a penalty takes its second derivatives."""
        return [self.gen, *([self.disc] if self.penalty is None else [])]

    def generators(self) -> Mapping[str, nn.Module]:
        return {"gen": self.gen}

    def discriminator_score(self, images: Tensor, domain: str) -> Tensor | None:
        """Return the mean over the discriminator's score map; only the target domain has a discriminator."""
        if domain != self.target or not isinstance(self.adversarial, AbsoluteScore):
            return None
        return self.adversarial.discriminator_score(self.disc(images)).flatten(1).mean(1)


def mirror(images: Tensor, mirrored: bool) -> Tensor:
    """Return images or features (N, C, H, W) flipped horizontally, if `mirrored`."""
    return images.flip(3) if mirrored else images
