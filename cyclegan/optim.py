"""Parameter groups of the players, gradient clipping, and learning rate schedules."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cyclegan.errors import UserError

MakeOptimizer = Callable[[list[dict[str, Any]]], Optimizer]
"""Creates an optimiser of parameter groups: an optimiser class with all its other arguments filled in."""

Schedule = Callable[[int], float]
"""Returns the factor on the initial learning rate for an epoch, counted from 0."""


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


def adam(params: Any, /) -> Optimizer:
    """Return Adam with learning rate 2e-4 (arXiv:1703.10593, section 4) and betas as in the authors' code."""
    return torch.optim.Adam(params, lr=2e-4, betas=(0.5, 0.999), fused=True)


class TensorFlowRMSprop(Optimizer):
    """RMSprop as in TensorFlow 1: `average ← α · average + (1 − α) · g²`, `w ← w − lr · g / √(average + ε)`.

    The average starts at 1, so that the first steps are small; torch's starts at 0, with first steps of about 3 · lr
    for α = 0.9. The defaults are those of DualGAN's code.
    """

    def __init__(self, params: Any, lr: float = 5e-5, alpha: float = 0.9, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    if not self.state[weight]:
                        self.state[weight]["square_avg"] = torch.ones_like(weight)
                    average = self.state[weight]["square_avg"]
                    average.lerp_(weight.grad.square(), 1 - group["alpha"])
                    weight.addcdiv_(weight.grad, (average + group["eps"]).sqrt(), value=-group["lr"])
        return loss


@torch.no_grad()
def clip_weights(networks: Iterable[nn.Module], bound: float) -> None:
    """Clamp all parameters to [-bound, bound], as after each step of WGAN's critic (arXiv:1701.07875, algorithm 1)."""
    for network in networks:
        for parameter in network.parameters():
            parameter.clamp_(-bound, bound)


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Compute no gradients of the modules' weights; gradients still reach the modules' inputs."""
    held = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def clip_each_player(optimizer: Optimizer, value: float, algorithm: str) -> None:
    """Clip the gradients of each parameter group separately, so that one player does not affect the other.

    Args:
        optimizer: optimiser with a parameter group for each player.
        value: largest norm of a group, or largest absolute value of an element.
        algorithm: `"norm"` or `"value"`, as in Lightning.
    """
    for group in optimizer.param_groups:
        if algorithm == "value":
            clip_grad_value_(group["params"], value)
        else:
            clip_grad_norm_(group["params"], value)


IMPLEMENTATION = ("fused", "foreach", "capturable", "differentiable")
"""Keys of a parameter group that choose how a step is computed, and not what."""


def keep_implementation(optimizer: Optimizer) -> Optimizer:
    """Let an optimiser that resumes keep its own implementation and memory format, not those of the stored state.

    The fused Adam of a CPU reads weights and averages in the order of their memory, so it would silently mix elements
    if a state of contiguous tensors was loaded for weights in channels_last.
    """

    def own_groups(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        groups = [
            stored | {key: group[key] for key in IMPLEMENTATION if key in group}
            for stored, group in zip(state["param_groups"], optimizer.param_groups, strict=True)
        ]
        return state | {"param_groups": groups}

    def own_format(optimizer: Optimizer) -> None:
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)

    optimizer.register_load_state_dict_pre_hook(own_groups)
    optimizer.register_load_state_dict_post_hook(own_format)
    return optimizer


class EpochSchedule(LambdaLR):
    """A LambdaLR that uses the present schedule after a resume, not the stored one.

    LambdaLR would use the learning rate of the stored schedule in the first epoch after a resume, and would restore
    the attributes of the schedule, such as its number of epochs, from the checkpoint.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule) -> None:
        super().__init__(optimizer, lambda epoch: schedule(epoch))  # LambdaLR stores no attributes of a function

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group, initial, factor in zip(self.optimizer.param_groups, self.base_lrs, self.lr_lambdas, strict=True):
            group["lr"] = initial * factor(self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


def scheduled(optimizer: Optimizer, schedule: Schedule) -> dict[str, Any]:
    """Return what Lightning's `configure_optimizers` returns: an optimiser and the schedule of its learning rates."""
    keep_implementation(optimizer)
    return {"optimizer": optimizer, "lr_scheduler": EpochSchedule(optimizer, schedule)}


@dataclass(frozen=True)
class Linear:
    """Constant, then linear decay: `1 − max(0, epoch + 1 − constant) / (decay + 1)`; 0 after the last epoch.

    With 100 constant and 100 decay epochs this is the CycleGAN paper's schedule (section 4) as in the authors'
    code: the first drop is at epoch 100, and the factor of the last epoch is 1/101.

    Args:
        total_epochs: number of constant and decay epochs together.
        constant_epochs: number of constant epochs; None takes half of the total.
    """

    total_epochs: int
    constant_epochs: int | None = None

    def __post_init__(self) -> None:
        _require_epochs(self.total_epochs)
        if self.constant_epochs is not None and not 0 <= self.constant_epochs <= self.total_epochs:
            raise UserError(
                f"model.schedule.constant_epochs is {self.constant_epochs}; "
                f"it must be between 0 and the {self.total_epochs} epochs of the run"
            )

    def __call__(self, epoch: int) -> float:
        constant = self.total_epochs // 2 if self.constant_epochs is None else self.constant_epochs
        decay = self.total_epochs - constant
        return max(0.0, 1 - max(0, epoch + 1 - constant) / (decay + 1))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 down to `final` (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts)."""

    total_epochs: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _require_epochs(self.total_epochs)

    def __call__(self, epoch: int) -> float:
        done = min(epoch / self.total_epochs, 1.0)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Step:
    """Multiplied by `factor` after every `every` epochs (the authors' `--lr_policy step`: 0.1 every 50)."""

    every: int = 50
    factor: float = 0.1

    def __call__(self, epoch: int) -> float:
        return self.factor ** (epoch // self.every)


@dataclass(frozen=True)
class Constant:
    """The initial learning rate throughout."""

    def __call__(self, epoch: int) -> float:
        return 1.0


def _require_epochs(total: int) -> None:
    if total < 1:
        raise UserError(
            f"a schedule over {total} epochs has no epoch to decay in: set trainer.max_epochs, or choose "
            "schedule=constant"
        )
