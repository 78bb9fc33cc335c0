from math import exp, log

import pytest
import torch
from torch import Tensor

from cyclegan.losses.adversarial import AbsoluteScore, Hinge, LeastSquares, Objective, Vanilla, Wasserstein

OBJECTIVES: list[Objective] = [LeastSquares(), Vanilla(), Hinge(), Wasserstein()]
every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)

REAL = torch.tensor([[2.0, 0.5]], dtype=torch.float64)
FAKE = torch.tensor([[-1.5, 1.0]], dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


@pytest.mark.parametrize(
    ("objective", "discriminator", "generator"),
    [
        (
            LeastSquares(),
            0.5 * (((2 - 1) ** 2 + (0.5 - 1) ** 2) / 2 + (1.5**2 + 1**2) / 2),  # ½ (mean (r − 1)² + mean f²)
            ((-1.5 - 1) ** 2 + (1 - 1) ** 2) / 2,  # mean (f − 1)²
        ),
        (
            Vanilla(),
            0.5 * (-(log(sigmoid(2)) + log(sigmoid(0.5))) / 2 - (log(1 - sigmoid(-1.5)) + log(1 - sigmoid(1))) / 2),
            -(log(sigmoid(-1.5)) + log(sigmoid(1))) / 2,
        ),
        (
            Hinge(),
            (0 + 0.5) / 2 + (0 + 2) / 2,  # mean max(0, 1 − r) + mean max(0, 1 + f)
            -(-1.5 + 1) / 2,
        ),
        (
            Wasserstein(),
            (-1.5 + 1) / 2 - (2 + 0.5) / 2,  # mean f − mean r
            -(-1.5 + 1) / 2,
        ),
    ],
    ids=["LeastSquares", "Vanilla", "Hinge", "Wasserstein"],
)
def test_losses_equal_hand_computed_values(objective: Objective, discriminator: float, generator: float) -> None:
    assert objective.discriminator(REAL, FAKE).item() == pytest.approx(discriminator, abs=1e-12)
    assert objective.generator(FAKE).item() == pytest.approx(generator, abs=1e-12)


def test_one_sided_label_smoothing_moves_the_target_of_real_images_only() -> None:
    squares, vanilla = LeastSquares(real_label=0.9), Vanilla(real_label=0.9)
    fakes = LeastSquares().discriminator(REAL, FAKE) - 0.5 * (REAL - 1).square().mean()
    expected = fakes + 0.5 * ((2 - 0.9) ** 2 + (0.5 - 0.9) ** 2) / 2
    assert squares.discriminator(REAL, FAKE).item() == pytest.approx(expected.item(), abs=1e-12)
    assert squares.generator(FAKE) == LeastSquares().generator(FAKE)

    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = 0.5 * (bce(REAL, torch.full_like(REAL, 0.9)) + bce(FAKE, torch.zeros_like(FAKE)))
    assert vanilla.discriminator(REAL, FAKE).item() == pytest.approx(expected.item(), abs=1e-12)
    assert vanilla.generator(FAKE) == Vanilla().generator(FAKE)


@every_objective
def test_losses_are_means_over_each_set_of_scores(objective: Objective) -> None:
    loss = objective.discriminator(REAL, FAKE)
    assert objective.discriminator(REAL.repeat(3, 1), FAKE).item() == pytest.approx(loss.item())
    assert objective.discriminator(REAL, FAKE.repeat(2, 5)).item() == pytest.approx(loss.item())


@every_objective
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_scores_are_averaged_in_float32(objective: Objective, half: torch.dtype) -> None:
    torch.manual_seed(0)
    real, fake = (torch.randn(2, 1, 30, 30) + 0.3).to(half), torch.randn(2, 1, 30, 30).to(half)

    def both(real: Tensor, fake: Tensor) -> Tensor:
        return torch.stack([objective.discriminator(real, fake), objective.generator(fake)])

    losses = both(real, fake)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses.double(), both(real.double(), fake.double()), rtol=1e-5, atol=1e-6)


@every_objective
def test_extreme_scores_stay_finite(objective: Objective) -> None:
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = objective.discriminator(far, far) + objective.generator(far)
    (gradient,) = torch.autograd.grad(loss, far)
    assert loss.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (LeastSquares(), [0, 0, 0.25, 1, 1]),
        (Vanilla(), [sigmoid(-3), sigmoid(0), sigmoid(0.25), sigmoid(1), sigmoid(2)]),
        (Hinge(), [0, 0.5, 0.625, 1, 1]),
    ],
    ids=["LeastSquares", "Vanilla", "Hinge"],
)
def test_discriminator_score_lies_between_fake_and_real(objective: AbsoluteScore, expected: list[float]) -> None:
    scores = torch.tensor([[-3.0, 0.0, 0.25, 1.0, 2.0]])
    torch.testing.assert_close(objective.discriminator_score(scores), torch.tensor([expected], dtype=torch.float32))
    assert objective.discriminator_score(scores.bfloat16()).dtype == torch.float32, "bfloat16 has two digits"
