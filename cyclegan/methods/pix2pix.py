"""pix2pix: a generator and a conditional discriminator trained on pairs of images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.images.lab import Output, coloured, rgb_to_lab
from cyclegan.losses.adversarial import Objective, Vanilla
from cyclegan.losses.penalties import Penalty
from cyclegan.methods.translator import Batch, Compile, Translator
from cyclegan.methods.turns import allow_unused_parameters, take_turn
from cyclegan.networks.init import normal
from cyclegan.networks.modes import Mode, apply_in
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.networks.unet import UnetGenerator
from cyclegan.optim import Linear, MakeOptimizer, Schedule, adam, player_groups, scheduled


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the generator's loss. The defaults are the paper's (section 3.1).

    Args:
        adversarial: weight of the adversarial term; 0 trains the generator with L1 alone.
        l1: weight of L1(fake, real); lambda = 100.
    """

    adversarial: float = 1.0
    l1: float = 100.0


unet = partial(UnetGenerator, norm="batch")
patchgan = partial(PatchDiscriminator, norm="batch")


@final
class Pix2Pix(Translator):
    """Paired translation in one direction (Isola et al. 2017, arXiv:1611.07004).

    The discriminator is updated first, and the generator is judged by the new one. Both see the same generated images.

    Args:
        generator: called with `in_channels` and `out_channels`, returns a network from images (N, in_channels, H, W) to
            images (N, out_channels, H, W), both in [-1, 1].
        discriminator: called with `in_channels`, returns a network from such images to logits (N, ...).
        init: initialises the weights of a network in place.
        adversarial: adversarial objective; None takes the cross-entropy.
        penalty: penalty added to the discriminator's loss; see `CycleGAN`.
        conditional: whether the discriminator sees the input beside the output, as channels of one image.
        loss_weights: weights of the generator's terms.
        optimizer: called with the parameter groups of both players, returns an optimiser.
        discriminator_lr: learning rate of the discriminator; None takes that of the optimiser.
        schedule: factor on the learning rates, by 0-based epoch; None takes `Linear(200)`.
        direction: `"A2B"` translates the first domain into the second, `"B2A"` the second into the first.
        output: `"image"`: the generator returns images of the target; `"ab"`: their colours a / 110 and b / 110 in
            CIE Lab, for inputs (N, 1, H, W) that are their lightness L / 50 - 1, which is colorization.
        translate_in: `"eval"` translates without dropout, with the running statistics of batch norm; `"train"` as the
            authors' code does, with dropout and the statistics of the image itself.
        channels: number of channels of the two domains, by name; None takes 3 channels of A and B.
        channels_last: whether weights and feature maps have the memory format channels_last, which is faster.
        compile: see `Translator.compile_networks`.

    Raises:
        UserError: there are not two domains, `direction`, `output` or `translate_in` has another value, or the channels
            do not suit `output`.
    """

    advice = MappingProxyType(
        {
            "discriminator_won": "a lower model.discriminator_lr, a smaller discriminator, augmentation=light, or more "
            "pairs",
            "copies_input": "checking that the files of a pair show the same scene: the L1 term asks for the target",
            "outputs_alike": "a larger model.loss_weights.l1, a lower model.optimizer.lr, another seed",
            "checkerboard": "waiting if it falls, else a new run with generator=resnet9_resize",
        }
    )

    def __init__(
        self,
        generator: Callable[..., nn.Module] = unet,
        discriminator: Callable[..., nn.Module] = patchgan,
        init: Callable[[nn.Module], None] = normal,
        adversarial: Objective | None = None,
        penalty: Penalty | None = None,
        conditional: bool = True,
        loss_weights: LossWeights | None = None,
        optimizer: MakeOptimizer = adam,
        discriminator_lr: float | None = None,
        schedule: Schedule | None = None,
        direction: Literal["A2B", "B2A"] = "A2B",
        output: Output = "image",
        translate_in: Mode = "eval",
        channels: Mapping[str, int] | None = None,
        channels_last: bool = True,
        compile: Compile = "auto",  # noqa: A002, the key's name
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        channels = {"A": 3, "B": 3} if channels is None else channels
        self.adversarial = Vanilla() if adversarial is None else adversarial
        self.penalty = penalty
        self.conditional = conditional
        self.loss_weights = LossWeights() if loss_weights is None else loss_weights
        self.make_optimizer = optimizer
        self.discriminator_lr = discriminator_lr
        self.schedule = Linear(total_epochs=200) if schedule is None else schedule
        self.output = output
        self.translate_in = translate_in
        if len(channels) != 2:
            raise UserError(f"model.channels names {list(channels)}: pix2pix needs two domains; data.domains sets them")
        for name, value, known in (
            ("direction", direction, ("A2B", "B2A")),
            ("output", output, ("image", "ab")),
            ("translate_in", translate_in, ("eval", "train")),
        ):
            if value not in known:
                raise UserError(f"model.{name} is {value!r}; it is {' or '.join(known)}")

        self.source, self.target = list(channels) if direction == "A2B" else list(channels)[::-1]
        ins, outs = channels[self.source], channels[self.target]
        if output == "ab":
            if (ins, outs) != (1, 3):
                raise UserError(
                    f"model.output=ab makes RGB from lightness, but the domains have {ins} and {outs} channels: set "
                    f"data.domains.{self.source}.lightness=true, .channels=1, and data.domains.{self.target}.channels=3"
                )
            outs = 2
        self.gen = generator(in_channels=ins, out_channels=outs)
        self.disc = discriminator(in_channels=ins + outs if conditional else outs)
        for network in (self.gen, self.disc):
            init(network)
            if channels_last:
                network.to(memory_format=torch.channels_last)
        self.compile_networks = compile

        self.domains = tuple(channels)
        self.channels = dict(channels)
        self.directions = ((self.source, self.target),)
        self.size_multiple = int(self.gen.size_multiple)  # type: ignore[arg-type]
        self.minimum_size = int(self.gen.minimum_size)  # type: ignore[arg-type]
        self.minimum_crop = max(self.minimum_size, int(self.disc.minimum_size))  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------ the algorithm

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator, then the generator, on a batch of pairs."""
        inputs, real = batch[self.source], self.wanted(batch[self.target])
        fake = self.gen(inputs)
        if self.loss_weights.adversarial > 0:
            take_turn(self, "discriminators", lambda: self.discriminator_losses(inputs, real, fake), closes=False)
        take_turn(self, "generators", lambda: self.generator_losses(inputs, real, fake), closes=True)

    def discriminator_losses(self, inputs: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the discriminator's loss on real and generated outputs (N, C, H, W) for the inputs."""
        fake = fake.detach()
        fake_scores, real_scores = self.scores(inputs, fake), self.scores(inputs, real)
        losses = {"disc": self.adversarial.discriminator(real_scores, fake_scores)}
        if self.penalty is not None and (self.global_step + 1) % self.penalty.every == 0:
            losses["penalty"] = self.penalty(partial(self.scores, inputs), real, fake)
        return losses

    def generator_losses(self, inputs: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms of the generator's loss."""
        weights = self.loss_weights
        losses = {"l1": weights.l1 * F.l1_loss(fake, real)}
        if weights.adversarial > 0:
            losses["adv"] = weights.adversarial * self.adversarial.generator(self.scores(inputs, fake))
        return losses

    def wanted(self, images: Tensor) -> Tensor:
        """Return what the generator should return for images of the target domain: themselves, or their a and b."""
        return rgb_to_lab(images)[:, 1:] if self.output == "ab" else images

    def shown(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Return the images that outputs stand for: themselves, or RGB of the inputs' lightness and these colours."""
        return coloured(inputs, outputs) if self.output == "ab" else outputs

    def scores(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Return the discriminator's logits of outputs, given the inputs if it is conditional."""
        logits: Tensor = self.disc(torch.cat([inputs, outputs], dim=1) if self.conditional else outputs)
        return logits

    # ------------------------------------------------------------------------------------ Lightning's hooks

    def setup(self, stage: str) -> None:
        allow_unused_parameters(self)

    def configure_optimizers(self) -> Any:
        """Return one optimiser with a parameter group for each player, and the schedule of its learning rates."""
        groups = player_groups([self.gen], [self.disc], self.discriminator_lr)
        return scheduled(self.make_optimizer(groups), self.schedule)

    # ------------------------------------------------------------------------------------ the Translator interface

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        self.require_direction(source, target)
        return self.shown(images, apply_in(self.translate_in, self.gen, images))

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return the inputs, their translations, and the real outputs."""
        inputs = batch[self.source]
        return {"input": inputs, "fake": self.shown(inputs, self.gen(inputs)), "real": batch[self.target]}

    def compiled(self) -> list[nn.Module]:
        """Return the networks, without the discriminator if a penalty takes its second derivatives."""
        return [self.gen, *([self.disc] if self.penalty is None else [])]

    def generators(self) -> Mapping[str, nn.Module]:
        return {"gen": self.gen}
