"""The networks of methods that translate between two domains both ways, and the interface to them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import AbsoluteScore, Objective
from cyclegan.methods.translator import Batch, Translator
from cyclegan.optim import MakeOptimizer, Schedule, player_groups, scheduled


class Fakes(NamedTuple):
    """Images (N, C, H, W) in [-1, 1] of each domain and their translations. The last letter of a name is the domain."""

    real_a: Tensor
    fake_b: Tensor  # gen_ab(real_a)
    real_b: Tensor
    fake_a: Tensor  # gen_ba(real_b)


class TwoWay(Translator):
    """Two generators and two discriminators, and what commands ask of them; how they are trained is up to the method.

    A discriminator has the name of the domain whose images it scores. A subclass sets the attributes below and calls
    `build` in its constructor.
    """

    adversarial: Objective
    make_optimizer: MakeOptimizer
    discriminator_lr: float | None
    schedule: Schedule

    def build(
        self,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        init: Callable[[nn.Module], None],
        channels: Mapping[str, int] | None,
        channels_last: bool,
    ) -> None:
        """Create and initialise the networks; see the arguments of `CycleGAN`.

        Raises:
            UserError: there are not two domains with different names.
        """
        channels = {"A": 3, "B": 3} if channels is None else channels
        if len({domain.lower() for domain in channels}) != 2 or len(channels) != 2:
            raise UserError(
                f"model.channels names {list(channels)}: {type(self).__name__} needs two domains whose lower-case "
                "names differ; data.domains sets them"
            )
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

        self.domains = (self.a, self.b)
        self.channels = dict(channels)
        self.directions = ((self.a, self.b), (self.b, self.a))
        self.size_multiple = int(self.gen_ab.size_multiple)  # type: ignore[arg-type]
        self.minimum_size = int(self.gen_ab.minimum_size)  # type: ignore[arg-type]
        self.minimum_crop = max(int(network.minimum_size) for network in networks)  # type: ignore[arg-type]

    def configure_optimizers(self) -> Any:
        """Return one optimiser with a parameter group for each player, and the schedule of its learning rates."""
        groups = player_groups([self.gen_ab, self.gen_ba], [self.disc_a, self.disc_b], self.discriminator_lr)
        return scheduled(self.make_optimizer(groups), self.schedule)

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        self.require_direction(source, target)
        translated: Tensor = (self.gen_ab if source == self.a else self.gen_ba)(images)
        return translated

    def fakes(self, batch: Batch) -> Fakes:
        """Translate a batch of each domain to the other domain."""
        real_a, real_b = batch[self.a], batch[self.b]
        return Fakes(real_a, self.gen_ab(real_a), real_b, self.gen_ba(real_b))

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return the images of each domain, their translations and reconstructions."""
        real_a, fake_b, real_b, fake_a = self.fakes(batch)
        rec_a, rec_b = self.gen_ba(fake_b), self.gen_ab(fake_a)
        return {"real_a": real_a, "fake_b": fake_b, "rec_a": rec_a, "real_b": real_b, "fake_a": fake_a, "rec_b": rec_b}

    def generators(self) -> Mapping[str, nn.Module]:
        return {"gen_ab": self.gen_ab, "gen_ba": self.gen_ba}

    def discriminator_score(self, images: Tensor, domain: str) -> Tensor | None:
        """Return the mean over the score map of the domain's discriminator; see `Translator.discriminator_score`."""
        if not isinstance(self.adversarial, AbsoluteScore):
            return None
        scores = {self.a: self.disc_a, self.b: self.disc_b}[domain](images)
        return self.adversarial.discriminator_score(scores).flatten(1).mean(1)
