"""PatchNCE, compared with the authors' form in a loop."""

import math

import pytest
import torch
import torch.nn.functional as F

from cyclegan.losses.patch_nce import patch_nce


def test_the_loss_equals_the_authors_loop() -> None:
    """The authors put the positive first, and replace it among the negatives of its image by −10."""
    torch.manual_seed(0)
    queries, keys = F.normalize(torch.randn(2, 3, 6, 5, dtype=torch.float64), dim=-1)
    losses = []
    for query, key in zip(queries, keys, strict=True):
        for place in range(len(query)):
            negatives = [query[place] @ other if n != place else torch.tensor(-10.0) for n, other in enumerate(key)]
            logits = torch.stack([query[place] @ key[place], *negatives]) / 0.07
            losses.append(-torch.log_softmax(logits, 0)[0])
    expected = torch.stack(losses).mean()
    assert patch_nce(queries, keys).item() == pytest.approx(expected.item(), abs=1e-12)


def test_hand_computed_loss() -> None:
    """Two patches with orthogonal embeddings, each like its key: log(1 + e^(−1/0.07)); keys swapped: plus 1/0.07."""
    embeddings = torch.eye(2, dtype=torch.float64)[None]
    alike = math.log1p(math.exp(-1 / 0.07))
    assert patch_nce(embeddings, embeddings).item() == pytest.approx(alike)
    assert patch_nce(embeddings, embeddings.flip(1)).item() == pytest.approx(alike + 1 / 0.07)
    assert patch_nce(embeddings, embeddings, temperature=0.5).item() == pytest.approx(math.log1p(math.exp(-2)))


def test_keys_get_no_gradient() -> None:
    queries, keys = torch.randn(1, 4, 3, requires_grad=True), torch.randn(1, 4, 3, requires_grad=True)
    patch_nce(queries, keys).backward()
    assert queries.grad is not None
    assert keys.grad is None


def test_autocast_does_not_round_the_logits() -> None:
    torch.manual_seed(0)
    queries, keys = F.normalize(torch.randn(2, 1, 64, 16), dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        within = patch_nce(queries, keys)
    assert torch.equal(within, patch_nce(queries, keys))
