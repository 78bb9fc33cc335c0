"""The features of real held-out images: computed once, kept in memory and on disk."""

import contextlib
import hashlib
import logging
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cyclegan.data.held_out import HeldOut
from cyclegan.images.tensors import to_rgb8
from cyclegan.metrics.feature_network import FeatureNetwork
from cyclegan.validation.distributed import from_first, is_first

log = logging.getLogger(__name__)


class References:
    """What translations are compared with.

    A file's name stands for the images' files, how they are resized, and the network with its weights.

    Args:
        network: the features'.
        folder: where they are kept; None: nowhere. That it cannot be written to is no error.
    """

    def __init__(self, network: FeatureNetwork, folder: Path | None) -> None:
        self.network = network
        self.folder = folder
        self._features: dict[str, Tensor] = {}

    def features(self, images: Tensor) -> Tensor:
        """Features (N, D) on the CPU, of images (N, C, H, W) in [-1, 1]; these are rounded to uint8 first.

        Raises:
            WeightsError: the network's weights cannot be had.
        """
        self.network.to(images.device)
        return self.network.features(to_rgb8(images)).float().cpu()

    def find(self, held_out: HeldOut, domain: str) -> Tensor | None:
        """Features (N, D) of a domain's images, if they were computed before. The same on all processes.

        Raises:
            WeightsError: the network's weights cannot be had.
        """
        key = self._key(held_out, domain)
        if key not in self._features:
            found = from_first(lambda: self._read(key))
            if found is not None:
                self._features[key] = found
        return self._features.get(key)

    def keep(self, held_out: HeldOut, domain: str, features: Tensor) -> None:
        """Takes computed features (N, D)."""
        key = self._key(held_out, domain)
        self._features[key] = features
        if self.folder is None or not is_first():
            return
        unfinished = self.folder / f".{key}.{os.getpid()}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                np.save(file, features.numpy(), allow_pickle=False)
            unfinished.replace(self.folder / f"{key}.npy")
        except OSError as error:
            log.debug("features of real images are computed again next time: %s", error)
            with contextlib.suppress(OSError):
                unfinished.unlink()

    def _key(self, held_out: HeldOut, domain: str) -> str:
        """The first process's, as files may change while the others look at them."""
        return from_first(
            lambda: hashlib.sha256(f"{held_out.key(domain)} {self.network.digest()}".encode()).hexdigest()[:32]
        )

    def _read(self, key: str) -> Tensor | None:
        if self.folder is None:
            return None
        try:
            return torch.from_numpy(np.load(self.folder / f"{key}.npy", allow_pickle=False))
        except (OSError, ValueError, EOFError):  # there is none, or a damaged one
            return None
