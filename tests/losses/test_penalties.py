import pytest
import torch
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.losses.penalties import R1, GradientPenalty
from cyclegan.networks.patchgan import PatchDiscriminator


class Linear(nn.Module):
    """score = Σ slope · image: its gradient is `slope` at every image."""

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.slope = nn.Parameter(slope)

    def forward(self, images: Tensor) -> Tensor:
        return (self.slope * images).sum(dim=(1, 2, 3))


def images(seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


@pytest.mark.parametrize(("weight", "target"), [(10.0, 1.0), (10.0, 0.0), (2.5, 1.0)])
def test_penalty_of_a_linear_critic_equals_the_formula(weight: float, target: float) -> None:
    """weight · (‖slope‖ − target)², the norm over all 75 numbers of an image: here 0.2 · √75."""
    critic = Linear(torch.full((3, 5, 5), 0.2))
    penalty = GradientPenalty(weight, target)(critic, images(0), images(1))
    assert penalty.shape == ()
    assert penalty.item() == pytest.approx(weight * (0.2 * 75**0.5 - target) ** 2, rel=1e-5)


def test_gradient_reaches_the_weights_of_the_critic() -> None:
    """d/d slope of 10 · (‖slope‖ − 1)² is 20 · (‖slope‖ − 1) · slope / ‖slope‖."""
    critic = Linear(torch.randn(3, 5, 5, dtype=torch.float64))
    penalty = GradientPenalty()(critic, images(0, torch.float64), images(1, torch.float64))
    (gradient,) = torch.autograd.grad(penalty, critic.slope)
    slope = critic.slope.detach()
    torch.testing.assert_close(gradient, 20 * (slope.norm() - 1) * slope / slope.norm())


def test_each_pair_is_interpolated_at_its_own_random_point() -> None:
    real, fake = images(0), images(1)
    seen: list[Tensor] = []

    def critic(between: Tensor) -> Tensor:
        seen.append(between.detach())
        return between.square().sum(dim=(1, 2, 3))

    torch.manual_seed(0)
    for _ in range(100):
        GradientPenalty()(critic, real, fake)
    shares = (torch.stack(seen) - fake) / (real - fake)  # (100, N, C, H, W)
    share = shares.median(dim=-1).values.median(dim=-1).values.median(dim=-1).values  # (100, N)
    torch.testing.assert_close(torch.stack(seen), fake + share[..., None, None, None] * (real - fake))
    assert share.min() >= 0
    assert share.max() <= 1
    # 400 draws of U(0, 1): mean ½, standard deviation 1/√12.
    assert share.mean().item() == pytest.approx(0.5, abs=0.05)
    assert share.std().item() == pytest.approx(12**-0.5, abs=0.03)
    assert share.std(dim=1).min() > 0  # the pairs of one batch do not share a draw


def test_gradient_norms_are_per_image() -> None:
    """Image n has slope n, so the penalty is the mean of (n · √75 − 1)²."""
    slopes = torch.arange(4.0)

    def critic(between: Tensor) -> Tensor:
        return slopes * between.sum(dim=(1, 2, 3))

    expected = 10 * (slopes * 75**0.5 - 1).square().mean()
    torch.testing.assert_close(GradientPenalty()(critic, images(0), images(1)), expected)


def test_constant_critic_gives_finite_gradients() -> None:
    critic = Linear(torch.zeros(3, 5, 5))
    penalty = GradientPenalty()(critic, images(0), images(1))
    (gradient,) = torch.autograd.grad(penalty, critic.slope)
    assert penalty.item() == 10  # 10 · (0 − 1)²
    assert gradient.isfinite().all()


def test_no_gradient_reaches_the_images() -> None:
    real, fake = images(0).requires_grad_(), images(1).requires_grad_()
    steepness = torch.ones((), requires_grad=True)
    penalty = GradientPenalty()(lambda between: steepness * between.square().sum(dim=(1, 2, 3)), real, fake)
    gradients = torch.autograd.grad(penalty, [real, fake], allow_unused=True)
    assert all(gradient is None for gradient in gradients)


@pytest.mark.parametrize("real_dtype", [torch.float32, torch.bfloat16])
def test_penalty_is_computed_in_float32_under_autocast(real_dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Conv2d(8, 1, 3))
    real, fake = images(0).to(real_dtype), images(1).bfloat16()
    torch.manual_seed(1)
    expected = GradientPenalty()(critic, real.float(), fake.float())
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty = GradientPenalty()(critic, real, fake)
        assert torch.is_autocast_enabled("cpu")
    assert penalty.dtype == torch.float32
    torch.testing.assert_close(penalty, expected)


def test_penalty_keeps_the_dtype_without_autocast() -> None:
    critic = Linear(torch.randn(3, 5, 5, dtype=torch.bfloat16))
    assert GradientPenalty()(critic, images(0).bfloat16(), images(1).bfloat16()).dtype == torch.bfloat16


def test_batches_of_different_shapes_are_refused() -> None:
    with pytest.raises(UserError, match=r"real is \(4, 3, 5, 5\), fake is \(1, 3, 5, 5\)"):
        GradientPenalty()(Linear(torch.zeros(3, 5, 5)), images(0), torch.zeros(1, 3, 5, 5))


# ---------------------------------------------------------------------------------------------- R1


@pytest.mark.parametrize(("weight", "every"), [(10.0, 1), (2.5, 16)])
def test_r1_of_a_linear_critic_equals_the_formula(weight: float, every: int) -> None:
    """every · weight / 2 · ‖slope‖², the squared norm over all 75 numbers of an image: here 0.04 · 75."""
    critic = Linear(torch.full((3, 5, 5), 0.2))
    penalty = R1(weight, every)(critic, images(0), images(1))
    assert penalty.item() == pytest.approx(every * weight / 2 * 0.04 * 75, rel=1e-5)


def test_r1_is_the_mean_over_images_and_over_patches() -> None:
    """Image n has slope n; its 25 scores depend on a pixel each, so that each has a squared gradient of 3 · n²."""
    slopes = torch.arange(4.0)[:, None, None]
    expected = 10 / 2 * (3 * slopes.square()).mean()
    torch.testing.assert_close(R1()(lambda image: slopes * image.sum(dim=1), images(0), images(1)), expected)


def test_r1_depends_on_real_images_and_trains_only_the_critic() -> None:
    """The score is steepness · ½ · ‖image‖², so that the gradient is steepness · image."""
    real, fake = images(0, torch.float64).requires_grad_(), images(1, torch.float64).requires_grad_()
    steepness = torch.tensor(3.0, requires_grad=True, dtype=torch.float64)
    penalty = R1()(lambda image: steepness * image.square().sum(dim=(1, 2, 3)) / 2, real, fake)
    squares = real.detach().square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(penalty, 5 * 9 * squares)
    gradients = torch.autograd.grad(penalty, [steepness, real, fake], allow_unused=True)
    torch.testing.assert_close(gradients[0], 5 * 2 * 3 * squares)
    assert all(gradient is None for gradient in gradients[1:])


def test_r1_is_computed_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Conv2d(8, 1, 3))
    expected = R1()(critic, images(0).bfloat16().float(), images(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty = R1()(critic, images(0).bfloat16(), images(1))
    torch.testing.assert_close(penalty, expected)
    with pytest.raises(UserError, match="every is 0; it counts optimiser steps"):
        R1(every=0)


def test_second_derivatives_through_instance_norm_are_right_in_both_memory_formats() -> None:
    """The derivative of the penalty in a random direction of all weights equals its difference quotient."""
    torch.manual_seed(0)
    critic = PatchDiscriminator(width=4, layers=2).double()
    real = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    direction = [torch.randn_like(parameter) for parameter in critic.parameters()]

    def penalty_at(distance: float) -> float:
        for parameter, step in zip(critic.parameters(), direction, strict=True):
            parameter.data.add_(step, alpha=distance)
        penalty = R1()(critic, real, real)
        for parameter, step in zip(critic.parameters(), direction, strict=True):
            parameter.data.sub_(step, alpha=distance)
        return penalty.item()

    quotient = (penalty_at(1e-5) - penalty_at(-1e-5)) / 2e-5
    for layout in (torch.contiguous_format, torch.channels_last):
        critic.to(memory_format=layout)
        # The last bias has no influence.
        gradients = torch.autograd.grad(R1()(critic, real, real), list(critic.parameters()), materialize_grads=True)
        slope = sum(float((g * step).sum()) for g, step in zip(gradients, direction, strict=True))
        assert slope == pytest.approx(quotient, rel=1e-6)
