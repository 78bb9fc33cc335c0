"""Translating in evaluation or in training mode."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

Mode = Literal["eval", "train"]


def apply_in(mode: Mode, network: nn.Module, images: Tensor) -> Tensor:
    """Apply a network to images (N, C, H, W) in the mode that its author tests it in.

    Args:
        mode: `"eval"` applies it as it is, without dropout and with the running statistics of batch norm if it is in
            eval mode; `"train"` applies it to each image separately, with dropout and the statistics of that image, as
            pix2pix's authors do (test.py without `--eval`).
        network: keeps its mode and its running statistics.
        images: the images.
    """
    if mode == "eval":
        translated: Tensor = network(images)
        return translated
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    was_training = network.training
    try:
        network.train()
        return torch.cat([functional_call(network, buffers, (image,)) for image in images.split(1)])
    finally:
        network.train(was_training)
