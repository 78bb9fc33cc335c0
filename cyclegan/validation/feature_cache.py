"""Features of real held-out images, computed once and kept in memory and on disk."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cyclegan.data.held_out import HeldOut
from cyclegan.files import replacing
from cyclegan.images.tensors import to_rgb8
from cyclegan.metrics.feature_network import FeatureNetwork
from cyclegan.validation.distributed import from_first, is_first

log = logging.getLogger(__name__)


class References:
    """Features of the real images that translations are compared with.

    Cached files are named by a digest of the images' files, their resizing, and the network with its weights. All
    methods raise a WeightsError if the network's weights are unavailable.

    Args:
        network: the feature network.
        folder: where features are cached; None: in memory only. Failing to write there is no error.
    """

    def __init__(self, network: FeatureNetwork, folder: Path | None) -> None:
        self.network = network
        self.folder = folder
        self._features: dict[str, Tensor] = {}

    def features(self, images: Tensor) -> Tensor:
        """Return features (N, D) on the CPU, of images (N, C, H, W) in [-1, 1], which are rounded to uint8 first."""
        self.network.to(images.device)
        return self.network.features(to_rgb8(images)).float().cpu()

    def find(self, held_out: HeldOut, domain: str) -> Tensor | None:
        """Return the cached features (N, D) of a domain's images, if any. The same on all processes."""
        key = self._key(held_out, domain)
        if key not in self._features:
            found = from_first(lambda: self._read(key))
            if found is not None:
                self._features[key] = found
        return self._features.get(key)

    def keep(self, held_out: HeldOut, domain: str, features: Tensor) -> None:
        """Cache the features (N, D) of a domain's images."""
        key = self._key(held_out, domain)
        self._features[key] = features
        if self.folder is not None and is_first():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with replacing(self.folder / f"{key}.npy") as unfinished, unfinished.open("wb") as file:
                    np.save(file, features.numpy(), allow_pickle=False)
            except OSError as error:
                log.debug("features of real images are not cached: %s", error)

    def _key(self, held_out: HeldOut, domain: str) -> str:
        # Of the first process, as files may change while the others look at them.
        key = from_first(lambda: f"{held_out.key(domain)} {self.network.digest()}")
        return hashlib.sha256(key.encode()).hexdigest()[:32]

    def _read(self, key: str) -> Tensor | None:
        if self.folder is None:
            return None
        try:
            return torch.from_numpy(np.load(self.folder / f"{key}.npy", allow_pickle=False))
        except (OSError, ValueError, EOFError):  # missing or damaged
            return None
