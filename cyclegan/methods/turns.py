"""Turns: a training step in which a player is judged by the other players' new weights.

Such a step has several updates, so that the method sets `automatic_optimization = False`. One optimiser holds all
players, each in a group of its name: torch's optimisers skip parameters without a gradient, with their momentum and
weight decay, so that a turn updates its player as an optimiser of its own would.
"""

from collections.abc import Callable, Mapping
from typing import cast

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from cyclegan.methods.translator import Translator

Losses = Mapping[str, Tensor]
"""Weighted terms of a player's loss, by name."""


def take_turn(method: Translator, player: str, losses: Callable[[], Losses], *, closes: bool) -> None:
    """Update one player by its losses, with the other players' weights frozen, and log the terms as `train/...`.

    Args:
        method: whose optimiser has a group for each player.
        player: name of the group.
        losses: computes the terms; what it calls has no gradients of other players' weights.
        closes: whether this is the last turn of the batch. Only this one counts as a step, so that
            `trainer.global_step` counts batches; after that of an epoch's last batch, the schedule continues.
    """
    optimizer = cast("LightningOptimizer", method.optimizers())
    others = [p for group in optimizer.param_groups if group["name"] != player for p in group["params"]]
    held = [parameter for parameter in others if parameter.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        terms = losses()
        method.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, batch_size=1, logger=False)
        # Lightning names this part for profilers in automatic optimisation only.
        with method.trainer.profiler.profile("backward"):  # type: ignore[attr-defined]
            method.manual_backward(torch.stack(list(terms.values())).sum())
    finally:
        for parameter in held:
            parameter.requires_grad_(True)
    if closes:
        optimizer.step()
    else:  # the same without being counted; it unscales gradients and clips them too
        method.trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None, model=method)
    optimizer.zero_grad(set_to_none=True)
    if closes and method.trainer.is_last_batch:
        cast("LRScheduler", method.lr_schedulers()).step()


def allow_unused_parameters(method: Translator) -> None:
    """Let several devices not wait for gradients of players that a backward pass does not train. Call it in `setup`."""
    if isinstance(method.trainer.strategy, DDPStrategy):
        method.trainer.strategy._ddp_kwargs["find_unused_parameters"] = True
