"""CycleGAN: two generators and two discriminators trained with a cycle-consistency loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.image_pool import ImagePool
from cyclegan.losses.adversarial import LeastSquares, Objective
from cyclegan.losses.diff_augment import adapt, probabilities, require_absolute_scores
from cyclegan.losses.penalties import Penalty
from cyclegan.methods.translator import Batch, Compile
from cyclegan.methods.turns import allow_unused_parameters
from cyclegan.methods.two_way import Fakes, TwoWay
from cyclegan.networks.batching import together
from cyclegan.networks.init import normal
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.optim import (
    Linear,
    MakeOptimizer,
    Schedule,
    adam,
    frozen,
)


class Cycle(NamedTuple):
    """Images (N, C, H, W) in [-1, 1] of one training step. The last letter of a name is the domain."""

    real_a: Tensor
    fake_b: Tensor  # gen_ab(real_a)
    rec_a: Tensor  # gen_ba(fake_b)
    real_b: Tensor
    fake_a: Tensor  # gen_ba(real_b)
    rec_b: Tensor  # gen_ab(fake_a)
    idt_a: Tensor | None  # gen_ba(real_a); None without identity loss
    idt_b: Tensor | None  # gen_ab(real_b)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the generators' loss. The defaults are those of the authors' code.

    Args:
        adversarial: weight of the adversarial term of each direction.
        cycle_a: weight of L1(rec_a, real_a), the paper's forward cycle; lambda = 10 (section 4).
        cycle_b: weight of L1(rec_b, real_b), the backward cycle.
        identity: weight relative to the cycle weight of the same domain, so 0.5 means 5 beside a cycle weight of 10
            (section 5.2, "Photo generation from paintings").
    """

    adversarial: float = 1.0
    cycle_a: float = 10.0
    cycle_b: float = 10.0
    identity: float = 0.5


@final
class CycleGAN(TwoWay):
    """Unpaired translation between two domains (Zhu et al. 2017, arXiv:1703.10593).

    A discriminator has the name of the domain whose images it scores, unlike in the authors' code:

    | here   | paper | authors' code | meaning                  |
    |--------|-------|---------------|--------------------------|
    | gen_ab | G     | netG_A        | translates A to B        |
    | gen_ba | F     | netG_B        | translates B to A        |
    | disc_a | D_X   | netD_B        | scores images of A       |
    | disc_b | D_Y   | netD_A        | scores images of B       |
    | idt_a  | F(x)  | idt_B         | gen_ba applied to real A |

    Both players are updated at once, with the same result as in the authors' code: the generators' losses use the
    discriminators before their update, and the discriminators see images from before the generators' update. So one
    backward pass of the sum of all terms and one optimiser step are the whole algorithm.

    Args:
        generator: called with `in_channels` and `out_channels`, returns a network from images (N, in_channels, H, W) to
            images (N, out_channels, H, W), both in [-1, 1].
        discriminator: called with `in_channels`, returns a network from such images to logits (N, ...).
        init: initialises the weights of a network in place.
        adversarial: adversarial objective; None takes least squares.
        penalty: penalty added to each discriminator's loss, called with the discriminator, real and fake images.
        diff_augment: called once for each domain, returns a module that augments all images (N, C, H, W) that the
            domain's discriminator sees; None leaves them unchanged.
        n_critic: the generators are trained in one of this number of optimiser steps, the discriminators in all
            (WGAN, arXiv:1701.07875, algorithm 1); 1 in CycleGAN.
        loss_weights: weights of the generators' terms.
        optimizer: called with the parameter groups of both players, returns an optimiser.
        discriminator_lr: learning rate of the discriminators; None takes that of the optimiser.
        schedule: factor on the learning rates, by 0-based epoch; None takes `Linear(200)`.
        pool_size: number of generated images in the image pool of each domain.
        channels: number of channels of the two domains, by name; None takes 3 channels of A and B.
        seed: seed of the image pools.
        channels_last: whether weights and feature maps have the memory format channels_last, which is faster.
        compile: see `Translator.compile_networks`.

    Raises:
        UserError: there are not two domains, the identity loss is on and their numbers of channels differ, `n_critic`
            is less than 1, or an adaptive augmentation has an objective without absolute scores.
    """

    advice = MappingProxyType(
        {
            "discriminator_won": "a lower model.discriminator_lr, a smaller discriminator, augmentation=light, "
            "diff_augment=color_translation_cutout, or more images; and check that model.loss_weights.adversarial is "
            "not 0",
            "copies_input": "a larger model.loss_weights.adversarial, or a smaller model.loss_weights.identity",
            "outputs_alike": "larger model.loss_weights.cycle_a and cycle_b, a lower model.optimizer.lr, another seed",
            "luminance_inverted": "a new run with another seed, or with a larger model.loss_weights.identity",
            "identity_rising": "a larger model.loss_weights.identity or a lower model.optimizer.lr, and an earlier "
            "checkpoint",
            "checkerboard": "waiting if it falls, else a new run with model.generator.upsampling=resize",
        }
    )

    def __init__(
        self,
        generator: Callable[..., nn.Module] = ResnetGenerator,
        discriminator: Callable[..., nn.Module] = PatchDiscriminator,
        init: Callable[[nn.Module], None] = normal,
        adversarial: Objective | None = None,
        penalty: Penalty | None = None,
        diff_augment: Callable[[], nn.Module] | None = None,
        n_critic: int = 1,
        loss_weights: LossWeights | None = None,
        optimizer: MakeOptimizer = adam,
        discriminator_lr: float | None = None,
        schedule: Schedule | None = None,
        pool_size: int = 50,
        channels: Mapping[str, int] | None = None,
        seed: int = 0,
        channels_last: bool = True,
        compile: Compile = "auto",  # noqa: A002, the key's name
    ) -> None:
        super().__init__()
        self.adversarial = LeastSquares() if adversarial is None else adversarial
        self.penalty = penalty
        self.loss_weights = LossWeights() if loss_weights is None else loss_weights
        self.make_optimizer = optimizer
        self.discriminator_lr = discriminator_lr
        self.schedule = Linear(total_epochs=200) if schedule is None else schedule
        self.augment_a, self.augment_b = (nn.Identity() if diff_augment is None else diff_augment() for _ in range(2))
        require_absolute_scores(self.augment_a, self.adversarial)
        if n_critic < 1:
            raise UserError(f"model.n_critic is {n_critic}; it counts optimiser steps, so it is 1 or more")
        self.n_critic = n_critic

        self.build(generator, discriminator, init, channels, channels_last)
        if self.loss_weights.identity > 0 and len(set(self.channels.values())) == 2:
            raise UserError(
                f"the identity loss needs domains of the same number of channels, not {self.channels}: "
                "set model.loss_weights.identity=0"
            )
        self.compile_networks = compile
        self.pool_a = ImagePool(pool_size, seed=2 * seed)
        self.pool_b = ImagePool(pool_size, seed=2 * seed + 1)

    # ------------------------------------------------------------------------------------ the algorithm

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the sum of the losses of both players on a batch; between the generators' steps, of one player."""
        if (self.global_step + 1) % self.n_critic:
            with torch.no_grad():
                fakes = self.fakes(batch)
            losses = self.discriminator_losses(fakes)
        else:
            cycle = self.cycle(batch[self.a], batch[self.b])
            losses = self.generator_losses(cycle) | self.discriminator_losses(cycle)
        logged = {name: loss.detach() for name, loss in losses.items()}
        logged |= probabilities({"ada_p_a": self.augment_a, "ada_p_b": self.augment_b})
        self.log_dict({f"train/{name}": value for name, value in logged.items()}, batch_size=1, logger=False)
        return torch.stack(list(losses.values())).sum()

    def cycle(self, real_a: Tensor, real_b: Tensor) -> Cycle:
        """Translate a batch of each domain to the other domain and back."""
        if self.loss_weights.identity > 0:
            fake_b, idt_b = together(self.gen_ab, real_a, real_b)
            fake_a, idt_a = together(self.gen_ba, real_b, real_a)
        else:
            fake_b, idt_b = self.gen_ab(real_a), None
            fake_a, idt_a = self.gen_ba(real_b), None
        return Cycle(real_a, fake_b, self.gen_ba(fake_b), real_b, fake_a, self.gen_ab(fake_a), idt_a, idt_b)

    def generator_losses(self, cycle: Cycle) -> dict[str, Tensor]:
        """Return the weighted terms of the generators' loss, without gradients of the discriminators' weights."""
        weights = self.loss_weights
        with frozen(self.disc_a, self.disc_b):
            scores_b, scores_a = self.disc_b(self.augment_b(cycle.fake_b)), self.disc_a(self.augment_a(cycle.fake_a))
        losses = {
            "adv_ab": weights.adversarial * self.adversarial.generator(scores_b),
            "adv_ba": weights.adversarial * self.adversarial.generator(scores_a),
        }
        losses["cycle_a"] = weights.cycle_a * F.l1_loss(cycle.rec_a, cycle.real_a)
        losses["cycle_b"] = weights.cycle_b * F.l1_loss(cycle.rec_b, cycle.real_b)
        if cycle.idt_a is not None and cycle.idt_b is not None:
            losses["identity_a"] = weights.cycle_a * weights.identity * F.l1_loss(cycle.idt_a, cycle.real_a)
            losses["identity_b"] = weights.cycle_b * weights.identity * F.l1_loss(cycle.idt_b, cycle.real_b)
        return losses

    def discriminator_losses(self, images: Cycle | Fakes) -> dict[str, Tensor]:
        """Return the discriminators' losses on real images and on detached, generated images from the pools."""
        losses = {}
        for name, disc, augment, real, fake in (
            ("a", self.disc_a, self.augment_a, images.real_a, self.pool_a.query(images.fake_a)),
            ("b", self.disc_b, self.augment_b, images.real_b, self.pool_b.query(images.fake_b)),
        ):
            shown_real, shown_fake = augment(real), augment(fake)
            real_scores, fake_scores = together(disc, shown_real, shown_fake)
            losses[f"disc_{name}"] = self.adversarial.discriminator(real_scores, fake_scores)
            if self.penalty is not None and (self.global_step + 1) % self.penalty.every == 0:
                losses[f"penalty_{name}"] = self.penalty(disc, shown_real, shown_fake)
            adapt(augment, self.adversarial, real_scores)
        return losses

    # ------------------------------------------------------------------------------------ Lightning's hooks

    def setup(self, stage: str) -> None:
        if self.n_critic > 1:
            allow_unused_parameters(self)

    # ------------------------------------------------------------------------- the rest of the Translator interface

    def compiled(self) -> list[nn.Module]:
        """Return the networks, without the discriminators if a penalty takes their second derivatives."""
        return [self.gen_ab, self.gen_ba, *([self.disc_a, self.disc_b] if self.penalty is None else [])]

    def pools(self) -> Mapping[str, ImagePool]:
        return {"a": self.pool_a, "b": self.pool_b}
