"""Alarm rules on measured metrics of translators that fail."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cyclegan.alarms import DiscriminatorWon, IdentityRising, Rule, Threshold, default_rules
from cyclegan.losses.adversarial import Hinge, LeastSquares, Objective, Vanilla, Wasserstein
from tests.situations import REAL, Function, brightened, cyclegan, history, measured

LONG = 7  # validations: more than any rule looks at
ONE = REAL["B"][:1]


def alarms_of(model: Any) -> dict[str, list[str]]:
    """Return the directions and domains with an alarm, by the name of the rule."""
    rows = history(*[measured(model)] * LONG)
    return {rule.name: list(found) for rule in default_rules() if (found := rule.check(rows))}


def text_of(model: Any) -> str:
    """Return the message of the only alarm."""
    rows = history(*[measured(model)] * LONG)
    (text,) = (text for rule in default_rules() for text in rule.check(rows).values())
    return text


@pytest.mark.parametrize(
    ("function", "alarm", "text"),
    [
        (lambda images: images, "copies_input", "the generator copies its input, change is 0 (alarm: below 0.05, 2 "),
        (lambda images: ONE + 0.01 * images, "outputs_alike", "all outputs are alike, variety is 0.0"),
        (lambda images: -images, "luminance_inverted", "light and dark are inverted, luminance is -1 (alarm: below -"),
    ],
    ids=["identity", "one image", "negative"],
)
def test_a_failing_generator_raises_exactly_one_alarm(
    function: Callable[[Tensor], Tensor], alarm: str, text: str
) -> None:
    model = cyclegan(Function(function))
    assert alarms_of(model) == {alarm: ["ab"]}
    assert text_of(model).startswith(f"A→B: {text}")


def test_each_direction_has_its_own_alarms() -> None:
    model = cyclegan(Function(lambda images: images), Function(lambda images: -images))
    assert alarms_of(model) == {"copies_input": ["ab"], "luminance_inverted": ["ba"]}


class Scores(nn.Module):
    """A discriminator with one score for the real images of B and another for all other images."""

    minimum_size = 1

    def __init__(self, real: float, fake: float) -> None:
        super().__init__()
        self.real, self.fake = real, fake

    def forward(self, images: Tensor) -> Tensor:
        scores = [self.real if any(image.equal(known) for known in REAL["B"]) else self.fake for image in images]
        return torch.tensor(scores).view(-1, 1, 1, 1).expand(-1, 1, 3, 3)


@pytest.mark.parametrize(
    ("objective", "won", "even"),
    [
        (LeastSquares(), (1.02, -0.05), (0.7, 0.3)),
        (Vanilla(), (4.0, -4.0), (1.0, -1.0)),
        (Hinge(), (1.5, -1.3), (0.5, -0.5)),
    ],
    ids=["LeastSquares", "Vanilla", "Hinge"],
)
def test_a_perfect_discriminator_raises_an_alarm_and_an_uncertain_one_does_not(
    objective: Objective, won: tuple[float, float], even: tuple[float, float]
) -> None:
    model = cyclegan(Function(brightened), adversarial=objective)
    model.disc_b = Scores(*won)
    assert alarms_of(model) == {"discriminator_won": ["b"]}
    assert text_of(model).startswith("B: the discriminator has won, real images score ")
    model.disc_b = Scores(*even)
    assert alarms_of(model) == {}


def test_an_objective_without_scores_in_0_to_1_raises_no_alarm() -> None:
    model = cyclegan(Function(brightened), adversarial=Wasserstein())
    model.disc_b = Scores(40.0, -40.0)
    assert "d_real_b" not in measured(model)
    assert alarms_of(model) == {}


def upsampling(kernel: int) -> nn.Module:
    """Build a generator that halves the image and upsamples it with equal weights and stride 2."""
    up = nn.ConvTranspose2d(3, 3, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2, bias=False)
    with torch.no_grad():
        up.weight.copy_(torch.eye(3)[:, :, None, None].expand_as(up.weight) * 4 / kernel**2)
    return nn.Sequential(Function(brightened), nn.AvgPool2d(2), up)


def test_a_kernel_not_divisible_by_the_stride_raises_the_checkerboard_alarm() -> None:
    uneven, even = cyclegan(upsampling(3)), cyclegan(upsampling(4))
    assert alarms_of(uneven) == {"checkerboard": ["ab"]}
    assert alarms_of(even) == {}
    assert text_of(uneven).startswith("A→B: outputs show a checkerboard, checkerboard is ")


def identity_alarms(*values: float) -> dict[str, str]:
    """Check validations with these identity losses of A, after a worse one before training."""
    return IdentityRising().check(history({"identity_a": 0.9}, *[{"identity_a": value} for value in values]))


def test_a_rising_identity_loss_raises_an_alarm_until_it_falls() -> None:
    values = [0.3, 0.2, 0.1, 0.1, 0.1, 0.14, 0.16]
    assert identity_alarms(*values) == {}, "the median of 0.10, 0.14, 0.16 is below 1.5 times the minimum"
    text = "A: the identity loss rises, to 0.160 from 0.100 (alarm: at least 1.5 times and 0.02 more"
    assert identity_alarms(*values, 0.18)["a"].startswith(text)
    assert identity_alarms(*values, 0.18, 0.1)
    assert identity_alarms(*values, 0.18, 0.1, 0.1) == {}


@pytest.mark.parametrize(
    "values",
    [
        [0.30, 0.20, 0.10, 0.40, 0.10, 0.11, 0.40, 0.10],  # single outliers
        [0.10, 0.13, 0.09, 0.12, 0.08, 0.13, 0.11, 0.13, 0.10],  # noise of a third
        [0.005, 0.006, 0.005, 0.012, 0.012, 0.012],  # twice a negligible value
        [0.30, 0.30, 0.30, 0.10, 0.10, 0.30, 0.30],  # a dip that the newest window overlaps
        [0.10, 0.10, 0.20, 0.20, 0.20],  # too few for two windows of three
    ],
)
def test_noise_raises_no_identity_alarm(values: list[float]) -> None:
    assert identity_alarms(*values) == {}


BAD = {"change_ab": 0.0, "d_real_b": 1.0, "d_fake_b": 0.0}
GOOD = {"change_ab": 0.2, "d_real_b": 0.6, "d_fake_b": 0.3}
UNKNOWN = {name: float("nan") for name in BAD}


@pytest.mark.parametrize(
    ("rule", "count"), [(DiscriminatorWon(), 3), (Threshold("one", "change", below=0.05), 2)], ids=["won", "threshold"]
)
def test_an_alarm_takes_several_measurements_in_a_row_after_epoch_0(rule: Rule, count: int) -> None:
    assert rule.check([]) == {}
    assert rule.check(history(*[BAD] * count)) == {}, "epoch 0 does not count"
    assert len(rule.check(history(*[BAD] * (count + 1)))) == 1
    assert rule.check(history(*[BAD] * count, GOOD, BAD)) == {}, "a good validation restarts the count"
    assert rule.check(history({}, *[BAD] * count, {})) == {}, "the newest value is missing"
    assert rule.check(history({}, *[BAD] * count, UNKNOWN)) == {}
    assert len(rule.check(history({}, *[BAD] * (count - 1), UNKNOWN, BAD))) == 1, "missing values are skipped"


@pytest.mark.parametrize(
    ("rule", "metrics"),
    [
        (Threshold("one", "change", below=0.05), {"change_ab": 0.05}),
        (Threshold("one", "checkerboard", above=12.0), {"checkerboard_ab": 12.0}),
        (DiscriminatorWon(), {"d_real_b": 0.89, "d_fake_b": 0.0}),
        (DiscriminatorWon(), {"d_real_b": 1.0, "d_fake_b": 0.11}),
        (DiscriminatorWon(), {"d_real_b": 1.0}),
    ],
)
def test_a_metric_at_its_threshold_raises_no_alarm(rule: Rule, metrics: dict[str, float]) -> None:
    assert rule.check(history(*[metrics] * LONG)) == {}


def test_domain_names_can_be_long() -> None:
    rows = history(*[{"variety_photo_map": 0.3}] * LONG)
    (text,) = Threshold("outputs_alike", "variety", below=0.4).check(rows).values()
    assert text == "photo_map: variety is 0.3 (alarm: below 0.4, 2 validations in a row)"
