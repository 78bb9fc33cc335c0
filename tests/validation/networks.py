"""Small feature networks for tests."""

from typing import Any

import torch
from torch import Tensor, nn

from cyclegan.errors import WeightsError
from cyclegan.metrics.feature_network import FeatureNetwork


class Projection(FeatureNetwork):
    """Random projections of images of any size; counts its images."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.shown = 0

    @property
    def protocol(self) -> dict[str, Any]:
        return {"network": "projection", "seed": self.seed}

    def build(self) -> nn.Module:
        return _Projection(self.seed)

    def features(self, images: Tensor) -> Tensor:
        self.shown += len(images)
        return super().features(images)


class _Projection(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1).double() / 255
        rng = torch.Generator().manual_seed(self.seed)
        return flat @ torch.randn(flat.shape[1], 4, generator=rng, dtype=torch.float64)


class Unobtainable(Projection):
    """A network whose weights are unavailable."""

    def build(self) -> nn.Module:
        raise WeightsError("no weights of the projection: put them there")
