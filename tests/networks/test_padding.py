from collections.abc import Iterator

import pytest
import torch
from torch import nn

from cyclegan.networks.padding import ReflectionPad2d


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("padding", [1, 3, (1, 2, 3, 0)])
def test_values_and_gradients_equal_those_of_torch(padding: int | tuple[int, int, int, int]) -> None:
    images = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(2 * 3 * 11 * 10.0, dtype=torch.float64)
    outputs, gradients = [], []
    for layer in (nn.ReflectionPad2d(padding), ReflectionPad2d(padding)):
        output = layer(images)
        (gradient,) = torch.autograd.grad((output * weights[: output.numel()].view_as(output)).sum(), images)
        outputs.append(output)
        gradients.append(gradient)
    assert torch.equal(*outputs)
    torch.testing.assert_close(*gradients)


def test_autocast_leaves_the_type_as_it_is() -> None:
    features = torch.randn(1, 2, 4, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        padded = ReflectionPad2d(1)(features)
    assert padded.dtype == torch.bfloat16  # nn.ReflectionPad2d gives float32 here
    assert torch.equal(padded.float(), nn.ReflectionPad2d(1)(features.float()))
