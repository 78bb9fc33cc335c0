"""Joining two batches into one call of a network."""

import torch
from torch import Tensor, nn


def together(network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Apply a network to two batches (N, C, H, W), in one call where that gives the same result.

    It does if the network has `mixes_samples = False`: each output depends on one sample only, as it does not with
    batch norm or minibatch statistics. Networks without the attribute are called twice.
    """
    if getattr(network, "mixes_samples", True) or first.shape[1:] != second.shape[1:]:
        return network(first), network(second)
    outputs: Tensor = network(torch.cat([first, second]))
    one, two = outputs.split([len(first), len(second)])
    return one, two
