"""A network that looks at images and is not trained."""

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import nn


class MeasuringNetwork(ABC):
    """A network that is built when it is first needed, and says what it is.

    Making one is cheap: nothing is read or fetched before `load`. It is no `nn.Module`, so that a callback or a model
    that holds one takes no weights of it into checkpoints.
    """

    def __init__(self) -> None:
        self._device = torch.device("cpu")
        self._network: nn.Module | None = None

    @property
    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """What stands beside metrics: network, library with version, size, filter, antialias, input_range."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Makes the network with its weights, on the CPU.

        Raises:
            WeightsError: the weights cannot be had.
        """

    def load(self) -> nn.Module:
        """Builds the network, if that has not been done. It leaves global random numbers as they were.

        Returns:
            the network, in eval mode and without gradients.

        Raises:
            WeightsError: the weights cannot be had.
        """
        if self._network is None:
            with torch.random.fork_rng(devices=[]):  # networks draw weights before they are given others
                network = self.build()
            self._network = network.requires_grad_(False).eval().to(self._device)
        return self._network

    def to(self, device: torch.device | str) -> Self:
        """Moves the network, now or when it is loaded."""
        self._device = torch.device(device)
        if self._network is not None:
            self._network.to(self._device)
        return self
