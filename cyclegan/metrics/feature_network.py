"""What turns images into features, of which distances are then taken."""

import hashlib
import json
from importlib import metadata
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError, WeightsError
from cyclegan.metrics.measuring_network import MeasuringNetwork

__all__ = ["AnyNetwork", "FeatureNetwork", "WeightsError", "check_sets", "signed", "versioned"]


class FeatureNetwork(MeasuringNetwork):
    """A network that describes images by vectors: `build` makes one from uint8 (N, 3, H, W) to (N, D)."""

    def __init__(self) -> None:
        super().__init__()
        self._digest: str | None = None

    def features(self, samples: Tensor) -> Tensor:
        """Describes images; loads the network first if need be.

        Args:
            samples: uint8 (N, 3, H, W) in 0..255, on any device.

        Returns:
            float32 (N, D) on the network's device, computed without mixed precision.

        Raises:
            WeightsError: the weights cannot be had.
            UserError: the images are of another kind, or the network gave something else than finite (N, D).
        """
        if samples.dtype != torch.uint8 or samples.ndim != 4 or samples.shape[1] != 3:
            raise UserError(
                f"features are taken of uint8 images (N, 3, H, W); these are {samples.dtype} "
                f"{tuple(samples.shape)}: see to_rgb8 of cyclegan.images.tensors"
            )
        network = self.load()
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            found = network(samples.to(self._device))
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(samples):
            raise UserError(
                f"{self.protocol['network']} should give a vector for each of {len(samples)} samples, "
                f"a tensor ({len(samples)}, D); it gave {_described(found)}. Wrap it in a module that returns one"
            )
        if not found.isfinite().all():
            raise UserError(f"{self.protocol['network']} gave features that are not finite: its weights are broken")
        return found.float()

    def digest(self) -> str:
        """The sha256 of the weights and of what `protocol` says: features with one digest are the same features.

        Taken once: the weights are not meant to change.

        Raises:
            WeightsError: the weights cannot be had.
        """
        if self._digest is None:
            digest = hashlib.sha256(json.dumps(self.protocol, sort_keys=True, default=str).encode())
            network = self.load()
            for name, values in sorted([*network.named_parameters(), *network.named_buffers()]):
                digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
                digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
            self._digest = digest.hexdigest()
        return self._digest


_SIDE = 64
"""Of the image by which networks that take any size are told apart."""


class AnyNetwork(FeatureNetwork):
    """Features of any `nn.Module`, from YAML.

    The module gets float32 images (N, 3, size, size), RGB in [-1, 1], and returns (N, D), or maps (N, D, h, w) that
    are averaged over their places. Other input ranges are the module's own affair.

    Args:
        network: with its weights; it is put into eval mode.
        size: height and width to resize to, by bilinear interpolation; None: as the images are.
        antialias: whether resizing smooths before it shrinks.

    Raises:
        UserError: the network or the size is something else.
    """

    def __init__(self, network: nn.Module, size: int | None, antialias: bool = True) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise UserError(f"AnyNetwork's network is a {type(network).__name__}; give an nn.Module")
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
            raise UserError(
                f"AnyNetwork's size is {size!r}; give the height and width to resize to, a whole number from 1, or "
                "null for images as they are"
            )
        self._inner = network
        self._size = size
        self._antialias = antialias

    @property
    def protocol(self) -> dict[str, Any]:
        """The module's class and package; how images reach it."""
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
        """Puts resizing before the module, and averaging behind it."""
        return _Resized(self._inner, self._size, self._antialias)

    def digest(self) -> str:
        """Also of what the module makes of one image: of its code and arguments, the weights tell nothing.

        Raises:
            UserError: the module gives something else than vectors.
        """
        if self._digest is None:
            weights, device = super().digest(), self._device
            side = self._size or _SIDE
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
    """Images uint8 (N, 3, H, W) as float32 in [-1, 1], bilinearly resized to size × size if one is given."""
    images = samples.float()
    if size is not None and images.shape[-2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=antialias)
    return images / 127.5 - 1


def versioned(library: str) -> str:
    """The name of a library with its version; the bare name of one that is not installed as a package."""
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return library


def check_sets(x: Tensor, y: Tensor) -> None:
    """Refuses two sets of features that have no distance.

    Raises:
        UserError: they are no (N, D) and (M, D), or N or M is below 2.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise UserError(
            f"sets of features must be (N, D) and (M, D); these are {tuple(x.shape)} and {tuple(y.shape)}. "
            "Both have to come from one feature network"
        )
    if min(len(x), len(y)) < 2:
        raise UserError(f"a distance needs 2 images or more on either side; here are {len(x)} and {len(y)}")


def _described(found: object) -> str:
    return f"a tensor {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
