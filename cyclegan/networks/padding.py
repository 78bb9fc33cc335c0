"""Reflection padding whose gradient can be computed deterministically on a GPU."""

import torch
from torch import Tensor, nn


class ReflectionPad2d(nn.ReflectionPad2d):
    """`nn.ReflectionPad2d`, also for `torch.use_deterministic_algorithms`.

    torch has no deterministic CUDA kernel for the gradient of reflection padding, and raises an error
    (pytorch/pytorch#98208). In that mode the border is made of flipped slices instead: the same values, more slowly.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, torch's name
        if not torch.are_deterministic_algorithms_enabled():
            # On a CPU, autocast would pad in float32, and keep every padded feature map in float32 too.
            with torch.autocast(input.device.type, enabled=False):
                return super().forward(input)
        left, right, top, bottom = self.padding
        rows = torch.cat([input[..., 1 : top + 1, :].flip(-2), input, input[..., -bottom - 1 : -1, :].flip(-2)], -2)
        return torch.cat([rows[..., 1 : left + 1].flip(-1), rows, rows[..., -right - 1 : -1].flip(-1)], -1)
