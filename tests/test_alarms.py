"""Alarm rules on measured metrics of translators that fail."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cyclegan.alarms import DiscriminatorWon, IdentityRising, Rule, Threshold, default_rules
from cyclegan.losses.adversarial import Hinge, LeastSquares, Objective, Vanilla, Wasserstein
from tests.situations import REAL, Function, brightened, cyclegan, history, measured

LONG = 7  # validations: more than any rule looks at


def raised(rows: list[dict[str, float]]) -> dict[str, list[str]]:
    """Return the directions and domains with an alarm, by the name of the rule."""
    found = {rule.name: list(rule.check(rows)) for rule in default_rules()}
    return {name: where for name, where in found.items() if where}


def alarms_of(model: Any) -> dict[str, list[str]]:
    return raised(history(*[measured(model)] * LONG))


def test_a_good_translator_raises_no_alarm() -> None:
    assert alarms_of(cyclegan(Function(brightened))) == {}


def text_of(name: str, rows: list[dict[str, float]]) -> str:
    """Return the message of a rule with one alarm."""
    (rule,) = [rule for rule in default_rules() if rule.name == name]
    (text,) = rule.check(rows).values()
    return text


ONE = REAL["B"][:1]


@pytest.mark.parametrize(
    ("function", "alarm", "text"),
    [
        (lambda images: images, "copies_input", "the generator copies its input, change is 0 (alarm: below 0.05, 2 "),
        (
            lambda images: ONE.expand_as(images) + 0.01 * images,
            "outputs_alike",
            "all outputs are alike, variety is 0.0",
        ),
        (
            lambda images: -images,
            "luminance_inverted",
            "light and dark are inverted, luminance is -1 (alarm: below -0.3",
        ),
    ],
    ids=["identity", "one image", "negative"],
)
def test_a_failing_generator_raises_exactly_one_alarm(
    function: Callable[[Tensor], Tensor], alarm: str, text: str
) -> None:
    model = cyclegan(Function(function))
    assert alarms_of(model) == {alarm: ["ab"]}
    found = text_of(alarm, history(*[measured(model)] * LONG))
    assert found.startswith("A→B: ")
    assert text in found


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
    text = text_of("discriminator_won", history(*[measured(model)] * LONG))
    assert text.startswith("B: the discriminator has won, real images score ")
    model.disc_b = Scores(*even)
    assert alarms_of(model) == {}


def test_an_objective_without_scores_in_0_to_1_raises_no_alarm() -> None:
    model = cyclegan(Function(brightened), adversarial=Wasserstein())
    model.disc_b = Scores(40.0, -40.0)
    assert "d_real_b" not in measured(model)
    assert alarms_of(model) == {}


def uneven_upsampling(kernel: int) -> nn.Module:
    """Build a generator that halves the image and upsamples it with equal weights and stride 2."""
    up = nn.ConvTranspose2d(3, 3, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2, bias=False)
    with torch.no_grad():
        up.weight.zero_()
        for channel in range(3):
            up.weight[channel, channel] = 4 / kernel**2
    return nn.Sequential(Function(brightened), nn.AvgPool2d(2), up)


def test_a_kernel_not_divisible_by_the_stride_raises_the_checkerboard_alarm() -> None:
    uneven, even = cyclegan(uneven_upsampling(3)), cyclegan(uneven_upsampling(4))
    assert alarms_of(uneven) == {"checkerboard": ["ab"]}
    assert alarms_of(even) == {}
    text = text_of("checkerboard", history(*[measured(uneven)] * LONG))
    assert text.startswith("A→B: outputs show a checkerboard, checkerboard is ")


def tinting(strength: float) -> dict[str, float]:
    """Return metrics of a generator with this identity loss of B."""
    return measured(cyclegan(Function(lambda images: images - strength * images.sign())))


def test_a_rising_identity_loss_raises_an_alarm() -> None:
    falling, rising = (0.3, 0.2, 0.1, 0.1, 0.1), (0.14, 0.16, 0.18)
    rows = history(tinting(0.5), *[tinting(strength) for strength in falling + rising])
    assert "identity_rising" not in raised(rows[:-1]), "the median of 0.10, 0.14, 0.16 is below 1.5 times the minimum"
    assert raised(rows)["identity_rising"] == ["b"]
    (text,) = IdentityRising().check(rows).values()
    assert "B: the identity loss rises, to 0.160 from 0.100 (alarm: at least 1.5 times and 0.02 more" in text


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
    assert IdentityRising().check(history({"identity_a": 0.9}, *[{"identity_a": value} for value in values])) == {}


def test_the_identity_alarm_ends_when_the_loss_falls() -> None:
    values = [0.1, 0.1, 0.1, 0.2, 0.2, 0.2]
    assert list(IdentityRising().check(history({}, *[{"identity_a": value} for value in values]))) == ["a"]
    later = [*values, 0.2, 0.2, 0.2, 0.1, 0.1]
    assert list(IdentityRising().check(history({}, *[{"identity_a": value} for value in later[:-1]]))) == ["a"]
    assert list(IdentityRising().check(history({}, *[{"identity_a": value} for value in later]))) == []


BAD = {
    "change_ab": 0.0, "luminance_ab": -1.0, "variety_ab": 0.0, "checkerboard_ab": 30.0,
    "d_real_b": 1.0, "d_fake_b": 0.0,
}  # fmt: skip
GOOD = {
    "change_ab": 0.2, "luminance_ab": 0.6, "variety_ab": 0.9, "checkerboard_ab": 0.0,
    "d_real_b": 0.6, "d_fake_b": 0.3,
}  # fmt: skip
IN_A_ROW = {
    "discriminator_won": 3, "copies_input": 2, "outputs_alike": 2, "luminance_inverted": 2, "checkerboard": 3,
}  # fmt: skip
RULES = [(rule, IN_A_ROW[rule.name]) for rule in default_rules() if rule.name in IN_A_ROW]


@pytest.mark.parametrize(("rule", "count"), RULES, ids=IN_A_ROW)
def test_an_alarm_takes_several_validations_in_a_row_after_epoch_0(rule: Rule, count: int) -> None:
    assert rule.check(history(*[BAD] * count)) == {}, "epoch 0 does not count"
    assert len(rule.check(history(*[BAD] * (count + 1)))) == 1
    assert rule.check(history(*[BAD] * count, GOOD, BAD)) == {}, "a good validation restarts the count"


@pytest.mark.parametrize(("rule", "count"), RULES, ids=IN_A_ROW)
def test_a_missing_metric_raises_no_alarm(rule: Rule, count: int) -> None:
    assert rule.check([]) == {}
    assert rule.check(history({}, *[BAD] * count, {})) == {}
    unknown = {name: float("nan") for name in BAD}
    assert rule.check(history({}, *[unknown] * 4)) == {}
    assert rule.check(history({}, *[BAD] * count, unknown)) == {}, "the newest value is missing"
    assert len(rule.check(history({}, *[BAD] * (count - 1), unknown, BAD))) == 1, "missing values are skipped"


@pytest.mark.parametrize(
    ("rule", "metrics"),
    [
        (Threshold("one", "change", below=0.05), {"change_ab": 0.05}),
        (Threshold("one", "checkerboard", above=12.0), {"checkerboard_ab": 12.0}),
        (DiscriminatorWon(), {"d_real_b": 0.89, "d_fake_b": 0.0}),
        (DiscriminatorWon(), {"d_real_b": 1.0, "d_fake_b": 0.11}),
    ],
)
def test_a_metric_at_its_threshold_raises_no_alarm(rule: Rule, metrics: dict[str, float]) -> None:
    assert rule.check(history(*[metrics] * LONG)) == {}


def test_domain_names_can_be_long() -> None:
    rows = history(*[{"variety_photo_map": 0.3}] * LONG)
    (text,) = Threshold("outputs_alike", "variety", below=0.4).check(rows).values()
    assert text == "photo_map: variety is 0.3 (alarm: below 0.4, 2 validations in a row)"


@pytest.mark.parametrize("rule", [DiscriminatorWon, IdentityRising, partial(Threshold, "one", "change", below=1.0)])
def test_a_rule_of_0_validations_is_refused(rule: Callable[..., Rule]) -> None:
    with pytest.raises(ValueError, match="validations 0; it is 1 or more"):
        rule(validations=0)


@pytest.mark.parametrize("bound", [None, 1.0])
def test_a_threshold_needs_exactly_one_bound(bound: float | None) -> None:
    with pytest.raises(ValueError, match="the alarm one takes one of below and above"):
        Threshold("one", "change", below=bound, above=bound)
