"""Networks that turn images into feature vectors, for FID, KID, precision and recall."""

import hashlib
import json
from abc import ABC, abstractmethod
from importlib import metadata
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError


class MetricNetwork(ABC):
    """A frozen network that a metric needs, built on first use.

    The constructor reads and downloads nothing. This is no `nn.Module`, so that checkpoints of a model or callback that
    holds one do not contain its weights.
    """

    def __init__(self) -> None:
        self._device = torch.device("cpu")
        self._network: nn.Module | None = None

    @property
    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """Entries of the protocol: network, library with version, size, filter, antialias, input_range."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Build the network with its weights on the CPU; raises a WeightsError if they are unavailable."""

    def load(self) -> nn.Module:
        """Return the network in eval mode and without gradients; the first call builds it.

        Does not change the global random state.

        Raises:
            WeightsError: the weights are unavailable. So does every method that needs the network.
        """
        if self._network is None:
            with torch.random.fork_rng(devices=[]):  # networks draw weights before they are given others
                network = self.build()
            self._network = network.requires_grad_(False).eval().to(self._device)
        return self._network

    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device, now or when it is built."""
        self._device = torch.device(device)
        if self._network is not None:
            self._network.to(self._device)
        return self


class FeatureNetwork(MetricNetwork):
    """A network that maps images to feature vectors: `build` returns one from uint8 (N, 3, H, W) to (N, D)."""

    def __init__(self) -> None:
        super().__init__()
        self._digest: str | None = None

    def features(self, samples: Tensor) -> Tensor:
        """Return the features of images, computed without mixed precision.

        Args:
            samples: uint8 (N, 3, H, W) in 0..255, on any device.

        Returns:
            float32 (N, D) on the network's device.

        Raises:
            UserError: the images have another type or shape, or the network did not return finite (N, D).
        """
        require_rgb8(samples)
        network = self.load()
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            found = network(samples.to(self._device))
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(samples):
            what = f"a tensor {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise UserError(
                f"{self.protocol['network']} must return a tensor ({len(samples)}, D) of {len(samples)} images; it "
                f"returned {what}. Wrap it in a module that does"
            )
        if not found.isfinite().all():
            raise UserError(f"{self.protocol['network']} returned features that are not finite: check its weights")
        return found.float()

    def digest(self) -> str:
        """Return the sha256 of the weights and of `protocol`; equal digests mean equal features. Computed once."""
        if self._digest is None:
            digest = hashlib.sha256(json.dumps(self.protocol, sort_keys=True, default=str).encode())
            network = self.load()
            for name, values in sorted([*network.named_parameters(), *network.named_buffers()]):
                digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
                digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
            self._digest = digest.hexdigest()
        return self._digest


class AnyNetwork(FeatureNetwork):
    """Features of any `nn.Module`.

    The module gets float32 images (N, 3, size, size), RGB in [-1, 1], and returns (N, D), or maps (N, D, h, w), which
    are averaged over h and w. Modules that need another input range convert it themselves.

    Args:
        network: the module with its weights; it is put into eval mode.
        size: height and width to resize to by bilinear interpolation; None: no resizing.
        antialias: whether resizing smooths before it shrinks.

    Raises:
        UserError: `network` is no nn.Module.
    """

    def __init__(self, network: nn.Module, size: int | None, antialias: bool = True) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise UserError(f"the feature network is a {type(network).__name__}; give an nn.Module")
        self._inner = network
        self._size = size
        self._antialias = antialias

    @property
    def protocol(self) -> dict[str, Any]:
        """The module's class and package, and the resizing."""
        kind = type(self._inner)
        return {
            "network": f"{kind.__module__}.{kind.__qualname__}",
            "library": versioned(kind.__module__.partition(".")[0]),
            "size": self._size,
            "filter": None if self._size is None else "bilinear",
            "antialias": None if self._size is None else self._antialias,
            "input_range": [-1, 1],
        }

    def build(self) -> nn.Module:
        """Put resizing before the module, and averaging behind it."""
        return _Resized(self._inner, self._size, self._antialias)

    def digest(self) -> str:
        """Return the digest of the weights, and of the features of one image: weights do not show changes of code."""
        if self._digest is None:
            weights, device = super().digest(), self._device
            side = self._size or 64
            image = torch.randint(256, (1, 3, side, side), generator=torch.Generator().manual_seed(0))
            seen = self.to("cpu").features(image.to(torch.uint8))
            self.to(device)
            rounded = "".join(f"{value:.3g} " for value in seen.flatten().tolist())
            self._digest = hashlib.sha256(f"{weights} {rounded}".encode()).hexdigest()
        return self._digest


class _Resized(nn.Module):
    def __init__(self, network: nn.Module, size: int | None, antialias: bool) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.antialias = antialias

    def forward(self, samples: Tensor) -> Any:
        found = self.network(signed(samples, self.size, self.antialias))
        return found.mean((2, 3)) if isinstance(found, Tensor) and found.ndim == 4 else found


def signed(samples: Tensor, size: int | None, antialias: bool) -> Tensor:
    """Convert uint8 (N, 3, H, W) to float32 in [-1, 1], bilinearly resized to size × size unless `size` is None."""
    images = samples.float()
    if size is not None and images.shape[-2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=antialias)
    return images / 127.5 - 1


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versioned(library: str) -> str:
    """Return a library's name with its version; the name alone if it is not installed as a package."""
    return " ".join(filter(None, (library, version_of(library))))


def require_rgb8(images: Tensor) -> None:
    """Raise a UserError unless the images are uint8 (N, 3, H, W)."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise UserError(
            f"networks of metrics take uint8 images (N, 3, H, W); these are {images.dtype} {tuple(images.shape)}: see "
            "to_rgb8 of cyclegan.images.tensors"
        )


def require_sets(x: Tensor, y: Tensor) -> None:
    """Raise a UserError unless two sets of features are (N, D) and (M, D) with N and M of at least 2."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise UserError(
            "a distance needs features (N, D) and (M, D) of one network, N and M from 2; these are "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
