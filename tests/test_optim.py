"""Learning-rate schedules, parameter groups, freezing and clipping."""

import copy
import math

import pytest
import torch
from torch import nn

from cyclegan.optim import (
    Constant,
    Cosine,
    Linear,
    Step,
    TensorFlowRMSprop,
    clip_each_player,
    clip_weights,
    frozen,
    keep_implementation,
    player_groups,
)


def test_linear_schedule_over_200_epochs() -> None:
    schedule = Linear(total_epochs=200)
    factors = [schedule(epoch) for epoch in range(200)]
    assert factors[:100] == [1.0] * 100
    assert factors[100:] == pytest.approx([n / 101 for n in range(100, 0, -1)])


def test_linear_schedule_with_constant_epochs() -> None:
    # as in PyTorch-GAN: 1 − max(0, e − 100) / 100
    schedule = Linear(total_epochs=200, constant_epochs=101)
    assert [schedule(e) for e in range(200)] == pytest.approx([1 - max(0, e - 100) / 100 for e in range(200)])


@pytest.mark.parametrize(("total", "constant"), [(0, None), (-1, None), (10, 11), (10, -1)])
def test_linear_schedule_refuses_invalid_epochs(total: int, constant: int | None) -> None:
    with pytest.raises(ValueError, match=r"trainer\.max_epochs|constant_epochs"):
        Linear(total, constant)


def test_cosine_step_and_constant_schedules() -> None:
    cosine = Cosine(total_epochs=200, final=0.1)
    assert [cosine(0), cosine(100), cosine(200)] == pytest.approx([1.0, 0.55, 0.1])
    assert cosine(50) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert [Step(50, 0.1)(e) for e in (0, 49, 50, 99, 100, 199)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001])
    assert {Constant()(e) for e in range(200)} == {1.0}


def test_factors_stay_zero_after_the_last_epoch() -> None:
    # Two epochs of a run of six: 1, then 1 - 1/2, then 0; without the clamp it would be -1/2, -1, -3/2.
    assert [Linear(total_epochs=2)(e) for e in range(6)] == [1.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert [Cosine(total_epochs=2)(e) for e in range(2, 6)] == [0.0] * 4


def test_parameter_groups_have_names_and_learning_rates() -> None:
    gen, disc = nn.Linear(2, 3), nn.Linear(4, 5)
    groups = player_groups([gen], [disc], discriminator_lr=4e-4)
    optimizer = torch.optim.Adam(groups, lr=1e-4)
    assert [(g["name"], g["lr"]) for g in optimizer.param_groups] == [("generators", 1e-4), ("discriminators", 4e-4)]
    assert [sum(p.numel() for p in g["params"]) for g in optimizer.param_groups] == [9, 25]
    same = torch.optim.Adam(player_groups([gen], [disc], discriminator_lr=None), lr=1e-4)
    assert [g["lr"] for g in same.param_groups] == [1e-4, 1e-4]


def test_frozen_passes_gradients_through_but_not_to_weights() -> None:
    layer, held = nn.Linear(2, 1), nn.Linear(1, 1)
    held.bias.requires_grad_(False)  # stays frozen
    inputs = torch.ones(1, 2, requires_grad=True)
    with frozen(layer, held):
        held(layer(inputs)).sum().backward()
    assert inputs.grad is not None
    assert layer.weight.grad is None
    with pytest.raises(RuntimeError), frozen(layer):
        raise RuntimeError
    assert [p.requires_grad for p in (layer.weight, held.weight, held.bias)] == [True, True, False]


def test_parameter_groups_are_clipped_separately() -> None:
    gen, disc = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    gen.grad, disc.grad = torch.tensor([30.0, 40.0]), torch.tensor([0.3, 0.4])
    optimizer = torch.optim.SGD([{"params": [gen]}, {"params": [disc]}], lr=1)
    clip_each_player(optimizer, 1.0, "norm")
    assert gen.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-4)  # norm 50 becomes 1
    assert disc.grad.tolist() == pytest.approx([0.3, 0.4])  # norm 0.5 stays
    clip_each_player(optimizer, 0.35, "value")
    assert gen.grad.tolist() == pytest.approx([0.35, 0.35])
    assert disc.grad.tolist() == pytest.approx([0.3, 0.35])


def test_a_resumed_optimizer_keeps_its_implementation_and_memory_format() -> None:
    start, gradients = torch.randn(8, 4, 3, 3), torch.randn(3, 8, 4, 3, 3)

    def stepped(optimizer: torch.optim.Optimizer, gradient: torch.Tensor) -> torch.Tensor:
        (weight,) = optimizer.param_groups[0]["params"]
        weight.grad = torch.empty_like(weight).copy_(gradient)
        optimizer.step()
        after: torch.Tensor = weight.detach().clone()
        return after

    plain = torch.optim.Adam([nn.Parameter(start.clone())], lr=0.1)
    middle = [stepped(plain, gradient) for gradient in gradients[:2]][-1]
    stored = copy.deepcopy(plain.state_dict())
    resumed = nn.Parameter(middle.to(memory_format=torch.channels_last))
    fused = keep_implementation(torch.optim.Adam([resumed], lr=0.1, fused=True))
    fused.load_state_dict(stored)
    assert fused.param_groups[0]["fused"]
    assert fused.state[resumed]["exp_avg"].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(stepped(fused, gradients[2]), stepped(plain, gradients[2]))


def test_rmsprop_of_tensorflow_by_hand() -> None:
    """Gradients 2, none and −1: averages 0.9 + 0.1 · 4 = 1.3, and 0.9 · 1.3 + 0.1 = 1.27; epsilon 0.3 in the root."""
    weight = nn.Parameter(torch.tensor([5.0], dtype=torch.float64))
    optimizer = TensorFlowRMSprop([weight], lr=0.1, eps=0.3)
    expected = 5.0
    for gradient, average in ((2.0, 1.3), (None, None), (-1.0, 1.27)):
        weight.grad = None if gradient is None else torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        if gradient is not None and average is not None:
            expected -= 0.1 * gradient / math.sqrt(average + 0.3)
        assert weight.item() == pytest.approx(expected, abs=1e-12)


def test_all_weights_are_clipped() -> None:
    networks = [nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)]
    for parameter, value in zip(networks[0].parameters(), (-3, 0.1), strict=True):
        nn.init.constant_(parameter, value)
    clip_weights(networks, 0.5)
    assert [p.item() for network in networks for p in network.parameters()] == pytest.approx([-0.5, 0.1, 0.5, 0.0])
