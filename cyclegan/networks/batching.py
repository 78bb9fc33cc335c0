"""Joining two batches into one call of a network."""

import torch
from torch import Tensor, nn


def together(network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Apply a network to two batches (N, C, H, W), in one call if its attribute `mixes_samples` is False.

    Batch norm and minibatch statistics mix samples. A network without the attribute is called twice.
    """
    if getattr(network, "mixes_samples", True) or first.shape[1:] != second.shape[1:]:
        return network(first), network(second)
    one, two = network(torch.cat([first, second])).split([len(first), len(second)])
    return one, two
