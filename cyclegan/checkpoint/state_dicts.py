"""State dicts: names of tensors, and what of one fits a network."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

Weights = dict[str, Tensor]

WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")
"""What DataParallel and torch.compile put before the names of a network that is saved from within them."""
STATISTIC = re.compile(r"(.*)\.(running_mean|running_var|num_batches_tracked)")


def is_bare(content: Mapping[str, Any]) -> bool:
    """Whether a file holds nothing but tensors, as the authors' published `latest_net_G_A.pth`."""
    return bool(content) and all(isinstance(value, Tensor) for value in content.values())


def unwrapped(weights: Weights) -> Weights:
    """The tensors under the names that they have within the network itself."""
    return {WRAPPERS.sub("", name): value for name, value in weights.items()}


def renamed(found: Weights, own: Mapping[str, Tensor]) -> tuple[Weights, str]:
    """A bare state dict under the network's own names, and a note on the running statistics that were dropped."""
    weights = {name if name in own else WRAPPERS.sub("", name): value for name, value in found.items()}
    # Until torch 0.4, instance norm without weights kept running statistics, which nothing used.
    statistics = [
        name
        for name in weights
        if name not in own and (parts := STATISTIC.fullmatch(name)) and f"{parts[1]}.weight" not in weights
    ]
    kept = {name: value for name, value in weights.items() if name not in statistics}
    return kept, f"{len(statistics)} running statistics of instance norm dropped" if statistics else ""


def misfits(own: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> str:
    """The tensors of a network and of a checkpoint that do not match, in a line; empty where all do.

    Args:
        own: the network's state.
        others: the checkpoint's tensors, by the same names.
    """
    kinds = {
        "missing": [name for name in own if name not in others],
        "unexpected": [name for name in others if name not in own],
        "of another shape": [
            f"{name} {tuple(own[name].shape)} here, {tuple(value.shape)} there"
            for name, value in others.items()
            if name in own and own[name].shape != value.shape
        ],
    }
    return "; ".join(f"{len(names)} {kind} ({shortened(names)})" for kind, names in kinds.items() if names)


def shortened(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = f", … {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
