"""The contrastive loss of CUT."""

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_nce(queries: Tensor, keys: Tensor, temperature: float = 0.07) -> Tensor:
    """Return the cross-entropy of finding each patch's key among all keys of its image (arXiv:2007.15651, section 3.2).

    The negatives of a patch are the other patches of the same image. Keys get no gradients.

    Args:
        queries: embeddings (N, P, C) of norm 1 of the patches of generated images.
        keys: embeddings (N, P, C) of norm 1 of the same patches of the input images.
        temperature: divisor of the similarities; tau = 0.07.
    """
    with torch.autocast(queries.device.type, enabled=False):  # bfloat16 would round logits of 14 to 1/16
        logits = queries @ keys.detach().transpose(1, 2) / temperature
    own = torch.arange(keys.shape[1], device=keys.device).repeat(len(keys))
    return F.cross_entropy(logits.flatten(0, 1), own)
