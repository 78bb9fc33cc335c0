"""Compare the names and shapes of state dicts with those of a network."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

Weights = dict[str, Tensor]

WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")
"""Prefixes that DataParallel and torch.compile put before the names of tensors."""
STATISTIC = re.compile(r"(.*)\.(running_mean|running_var|num_batches_tracked)")


def is_bare(content: Mapping[str, Any]) -> bool:
    """Return whether a file holds nothing but tensors, like the CycleGAN authors' `latest_net_G_A.pth`."""
    return bool(content) and all(isinstance(value, Tensor) for value in content.values())


def canonical(name: str) -> str:
    """Remove the prefixes of wrappers from a tensor's name, and rename the residual blocks of PyTorch-GAN."""
    return WRAPPERS.sub("", name).replace(".block.", ".conv_block.")


def of_network(weights: Weights, network: str) -> Weights:
    """Return the tensors of a network among those of a translator, by the network's own names."""
    prefix = f"{network}."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def renamed(found: Weights, own: Mapping[str, Tensor]) -> tuple[Weights, str]:
    """Fit the names of a bare state dict to a network's, and drop the running statistics of old instance norm.

    Until torch 0.4, instance norm without weights stored running statistics that were never used.

    Returns:
        the tensors, and a note on the dropped ones; empty if there are none.
    """
    weights = {name if name in own else canonical(name): value for name, value in found.items()}
    kept = {}
    for name, value in weights.items():
        statistic = STATISTIC.fullmatch(name)
        if name in own or not statistic or f"{statistic[1]}.weight" in weights:
            kept[name] = value
    dropped = len(weights) - len(kept)
    return kept, f"{dropped} running statistics of instance norm dropped" if dropped else ""


def misfits(own: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> str:
    """Describe in one line the tensors of a network and of a checkpoint that do not match; empty if all do."""
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
    """Join the first few names, and say how many more there are."""
    listed = list(names)
    more = f", … {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
