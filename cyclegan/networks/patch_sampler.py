"""The feature network of CUT: embeddings of random positions of feature maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cyclegan.networks.checks import check_at_least


class PatchSampler(nn.Module):
    """A perceptron of two layers for each feature map, with outputs of norm 1 (Park et al. 2020, arXiv:2007.15651).

    Layer names are those of the authors' `PatchSampleF`.

    Args:
        channels: number of channels of each feature map.
        width: number of channels of the embeddings.
        patches: number of positions of each map; of a map with fewer, all.
    """

    def __init__(self, channels: Sequence[int], width: int = 256, patches: int = 256) -> None:
        super().__init__()
        check_at_least(1, width=width, patches=patches)
        self.patches = patches
        for number, count in enumerate(channels):
            mlp = nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width))
            self.add_module(f"mlp_{number}", mlp)

    def positions(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Draw distinct positions (P,), counted along the rows, for each of the feature maps (N, C, h, w)."""
        return [torch.randperm(each[0, 0].numel(), device=each.device)[: self.patches] for each in features]

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """Return the embeddings (N, P, width) of each feature map (N, C, h, w) at its positions (P,)."""
        embeddings = []
        for number, (each, chosen) in enumerate(zip(features, positions, strict=True)):
            embedded = self.get_submodule(f"mlp_{number}")(each.flatten(2)[..., chosen].transpose(1, 2))
            dtype = torch.promote_types(embedded.dtype, torch.float32)  # bfloat16 would round the norm
            norm = torch.linalg.vector_norm(embedded, dim=2, keepdim=True, dtype=dtype)
            embeddings.append(embedded / (norm + 1e-7))
        return embeddings
