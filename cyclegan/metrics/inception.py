"""The Inception features of published FID and KID values."""

import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cyclegan.errors import WeightsError, missing
from cyclegan.metrics.feature_network import FeatureNetwork, versioned
from cyclegan.metrics.pretrained import Pretrained

_NAME = "inception-v3-compat"
_LAYER = "2048"
WITHOUT = "features=none, or --features none, does without FID and KID"


class Inception(FeatureNetwork):
    """The 2048 pooled features of torch-fidelity's Inception, with TensorFlow's weights and resizing.

    Args:
        weights: a file of its weights; None: torch.hub's cache, filled by a download.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self._weights = weights

    @property
    def protocol(self) -> dict[str, Any]:
        """The network, and the resizing: without half-pixel centres and without antialiasing."""
        return {
            "network": f"Inception ({_NAME}, {_LAYER} features)",
            "library": versioned("torch-fidelity"),
            "weights": "the library's" if self._weights is None else Path(self._weights).name,
            "size": 299,
            "filter": "bilinear as in TensorFlow 1 (corners not aligned, without half-pixel centres)",
            "antialias": False,
            "input_range": [-1, 127 / 128],  # (x − 128) / 128 of 0..255
        }

    def build(self) -> nn.Module:
        """Build the library's extractor around weights that were read safely."""
        try:
            from torch_fidelity import feature_extractor_inceptionv3 as library
        except ImportError as error:
            raise WeightsError(f"Inception features need {missing('torch_fidelity')}; {WITHOUT}") from error

        published = Pretrained(
            "torch-fidelity's Inception network",
            library.URL_INCEPTION_V3,
            "callbacks.validation.features.weights=PATH, or --feature-weights PATH",
            WITHOUT,
        )
        # The extractor unpickles its file, so it gets a copy that holds tensors only.
        copy = io.BytesIO()
        torch.save(published.read(self._weights), copy)
        copy.seek(0)
        try:
            extractor = library.FeatureExtractorInceptionV3(_NAME, [_LAYER], feature_extractor_weights_path=copy)
        except RuntimeError as error:
            raise published.mismatch(self._weights, error) from error
        return _Pooled(extractor)


class _Pooled(nn.Module):
    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: Tensor) -> Any:
        return self.extractor(images)[0]
