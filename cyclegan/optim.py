"""Parameter groups of the players, gradient clipping, and learning rate schedules."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cyclegan.errors import UserError


class MakeOptimizer(Protocol):
    """An optimiser class with every argument but the parameters filled in."""

    def __call__(self, params: Iterable[dict[str, Any]], /) -> Optimizer:
        """Return an optimiser of these parameter groups."""
        ...


def player_groups(
    generators: Iterable[nn.Module], discriminators: Iterable[nn.Module], discriminator_lr: float | None
) -> list[dict[str, Any]]:
    """Return the two named parameter groups; `discriminator_lr=None` gives both the optimiser's learning rate."""
    groups: list[dict[str, Any]] = [
        {"name": "generators", "params": [p for g in generators for p in g.parameters()]},
        {"name": "discriminators", "params": [p for d in discriminators for p in d.parameters()]},
    ]
    if discriminator_lr is not None:
        groups[1]["lr"] = discriminator_lr
    return groups


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Exclude the modules' weights from gradients, which still pass through to the modules' inputs."""
    held = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def clip_each_player(optimizer: Optimizer, value: float, algorithm: str) -> None:
    """Clip the gradients of every parameter group by themselves, so that one player does not affect the other.

    Args:
        optimizer: optimiser whose parameter groups are the players.
        value: the largest norm of a group (`algorithm="norm"`) or size of an element (`"value"`).
        algorithm: `"norm"` or `"value"`, as Lightning names them.
    """
    for group in optimizer.param_groups:
        if algorithm == "value":
            clip_grad_value_(group["params"], value)
        else:
            clip_grad_norm_(group["params"], value)


class EpochSchedule(LambdaLR):
    """A LambdaLR that uses the present schedule, and not the stored one, after a resume.

    LambdaLR would keep the learning rate of the stored schedule for the first epoch after a resume, and it restores
    the attributes of a callable object from the checkpoint, such as the number of epochs.
    """

    def __init__(self, optimizer: Optimizer, schedule: "Schedule") -> None:
        super().__init__(optimizer, lambda epoch: schedule(epoch))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the epoch and the initial learning rates, and apply the present schedule to them."""
        super().load_state_dict(state_dict)
        for group, initial, factor in zip(self.optimizer.param_groups, self.base_lrs, self.lr_lambdas, strict=True):
            group["lr"] = initial * factor(self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class Schedule(Protocol):
    """The factor on the initial learning rate, by 0-based epoch."""

    def __call__(self, epoch: int) -> float:
        """Return the factor; 1 is the initial learning rate."""
        ...


@dataclass(frozen=True)
class Linear:
    """Constant, then falling in equal steps: `1 − max(0, epoch + 1 − constant) / (decay + 1)`.

    With 100 constant and 100 decay epochs this is the CycleGAN paper's schedule (section 4) as the authors'
    code rounds it: the first drop is at epoch 100 and the last epoch still learns, at 1/101.

    Args:
        total_epochs: number of constant and decay epochs together.
        constant_epochs: number of constant epochs; None takes half of the total.
    """

    total_epochs: int
    constant_epochs: int | None = None

    def __post_init__(self) -> None:
        if self.total_epochs < 1:
            raise UserError(
                f"a linear schedule over {self.total_epochs} epochs has no epoch to decay in: "
                "set trainer.max_epochs, or choose schedule=constant"
            )
        if self.constant_epochs is not None and not 0 <= self.constant_epochs <= self.total_epochs:
            raise UserError(
                f"model.schedule.constant_epochs is {self.constant_epochs}; "
                f"it lies between 0 and the {self.total_epochs} epochs of the run"
            )

    def __call__(self, epoch: int) -> float:
        """Return the factor, from 1 down to 1/(decay + 1); 0 after `total_epochs`."""
        constant = self.total_epochs // 2 if self.constant_epochs is None else self.constant_epochs
        decay = self.total_epochs - constant
        return max(0.0, 1 - max(0, epoch + 1 - constant) / (decay + 1))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 down to `final` (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts)."""

    total_epochs: int
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.total_epochs < 1:
            raise UserError(
                f"a cosine over {self.total_epochs} epochs has no epoch to decay in: set trainer.max_epochs, or choose "
                "schedule=constant"
            )

    def __call__(self, epoch: int) -> float:
        """Return the factor, from 1 down to `final`."""
        done = min(epoch / self.total_epochs, 1.0)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Step:
    """Multiplied by `factor` after every `every` epochs (the authors' `--lr_policy step`: 0.1 every 50)."""

    every: int = 50
    factor: float = 0.1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UserError(f"model.schedule.every is {self.every}; it counts epochs, so it is 1 or more")

    def __call__(self, epoch: int) -> float:
        """Return the factor, a power of `self.factor`."""
        return self.factor ** (epoch // self.every)


@dataclass(frozen=True)
class Constant:
    """The initial learning rate throughout."""

    def __call__(self, epoch: int) -> float:
        """Return 1."""
        return 1.0
