import math
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from cyclegan.metrics import precision_recall as module
from cyclegan.metrics.precision_recall import precision_recall


def on_a_line(*places: float) -> Tensor:
    return torch.tensor(places)[:, None]


def test_precision_and_recall_equal_hand_computed_values() -> None:
    real = on_a_line(0, 1, 2, 10)  # each reaches as far as its nearest: 1, 1, 1 and 8
    fake = on_a_line(2.5, 3.5, 30, 31.5)  # reach 1, 1, 1.5, 1.5
    # Real images cover 2.5 (from 2) and 3.5 (from 10); fakes cover 2 (from 2.5) alone.
    assert precision_recall(real, fake, k=1) == (0.5, 0.25)


def test_kth_neighbour_sets_the_radius() -> None:
    real, fake = on_a_line(0, 1, 3, 7), on_a_line(9.5, 100, 200, 300)
    # 9.5 is 2.5 from 7, which reaches 4 to its first neighbour: covered. Nothing covers the others.
    assert precision_recall(real, fake, k=1)[0] == 0.25
    # 7 reaches 6 to its second neighbour, 13 is just as far, and 13.5 is beyond.
    assert precision_recall(real, on_a_line(12.5, 13.5, 200, 300), k=2)[0] == 0.25


def test_copies_of_a_real_image_recall_only_that_image() -> None:
    real = torch.randn(50, 301, generator=torch.Generator().manual_seed(0))
    for image in real[:20]:
        assert precision_recall(real, image.expand(20, 301)) == (1.0, 1 / 50)
    # This needs distances of exactly 0, which matrix products alone do not give.
    assert (module._squared_distances(real.double(), real.double()).diagonal() == 0).all()


def test_distant_and_equal_sets() -> None:
    real = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    assert precision_recall(real, real + 100) == (0.0, 0.0)
    assert precision_recall(real, real.flip(0)) == (1.0, 1.0)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_precision_and_recall_equal_torch_fidelity(k: int) -> None:
    rng = torch.Generator().manual_seed(1)
    real, fake = torch.randn(90, 4, generator=rng), torch.randn(70, 4, generator=rng) * 0.7 + 0.5
    theirs = prc_features_to_metric(
        fake, real, prc_neighborhood=k, prc_batch_size=1000, save_cpu_ram=False, verbose=False
    )
    expected = theirs["precision"], theirs["recall"]
    assert 0 < expected[1] < expected[0] < 1
    assert precision_recall(real, fake, k) == pytest.approx(expected)
    with mock.patch.object(module, "_ROWS", 7):
        assert precision_recall(real, fake, k) == pytest.approx(expected)


def test_distances_far_from_the_origin_are_exact() -> None:
    real, fake = on_a_line(0, 1, 2, 10), on_a_line(2.5, 3.5, 30, 31.5)
    assert precision_recall(real.double() + 1e9, fake.double() + 1e9, k=1) == (0.5, 0.25)


@pytest.mark.parametrize(("n", "m"), [(3, 9), (9, 3)])
def test_sets_without_a_kth_neighbour_give_nan(n: int, m: int) -> None:
    precision, recall = precision_recall(torch.rand(n, 2), torch.rand(m, 2), k=3)
    assert math.isnan(precision)
    assert math.isnan(recall)
