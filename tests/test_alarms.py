"""Each alarm in a situation that calls for it: measured of translators that really fail, then held against the rule."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cyclegan.alarms import (
    Checkerboard,
    CopiesInput,
    DiscriminatorWon,
    IdentityRising,
    LuminanceInverted,
    OutputsAlike,
    Rule,
    every_rule,
)
from cyclegan.losses.adversarial import Hinge, LeastSquares, Objective, Vanilla, Wasserstein
from cyclegan.networks.patchgan import PatchDiscriminator
from tests.situations import REAL, Function, brightened, cyclegan, history, measured

LONG = 7  # validations: more than any rule looks at


def raised(rows: list[dict[str, float]]) -> dict[str, list[str]]:
    """The places at which every rule holds, by its name; without those that hold nowhere."""
    found = {rule.name: list(rule.check(rows)) for rule in every_rule()}
    return {name: where for name, where in found.items() if where}


def alarms_of(model: Any) -> dict[str, list[str]]:
    return raised(history(*[measured(model)] * LONG))


def test_a_translator_that_does_what_it_should_raises_none() -> None:
    assert alarms_of(cyclegan(Function(brightened))) == {}


def test_a_generator_that_is_the_identity_copies() -> None:
    model = cyclegan(Function(lambda images: images))
    assert alarms_of(model) == {"copies_input": ["ab"]}
    (text,) = CopiesInput().check(history(*[measured(model)] * LONG)).values()
    assert text.startswith("A→B: ")
    assert "0.000 (alarm: below 0.05, 2 validations in a row)" in text
    assert "model.loss_weights.adversarial" in text


def test_slightly_retouched_copies_are_copies() -> None:
    assert alarms_of(cyclegan(Function(lambda images: (images + 0.03).clamp(-1, 1)))) == {"copies_input": ["ab"]}


def test_a_generator_of_one_image_makes_all_alike() -> None:
    one = REAL["B"][:1]
    model = cyclegan(Function(lambda images: one.expand_as(images) + 0.01 * images))
    assert alarms_of(model) == {"outputs_alike": ["ab"]}
    (text,) = OutputsAlike().check(history(*[measured(model)] * LONG)).values()
    assert "A→B: all outputs are alike: they differ 0.01 times" in text


def test_a_flat_image_is_alike_and_nothing_worse() -> None:
    assert alarms_of(cyclegan(Function(lambda images: torch.full_like(images, 0.3)))) == {"outputs_alike": ["ab"]}


def test_a_negative_has_its_luminance_inverted() -> None:
    model = cyclegan(Function(lambda images: -images))
    assert alarms_of(model) == {"luminance_inverted": ["ab"]}
    (text,) = LuminanceInverted().check(history(*[measured(model)] * LONG)).values()
    assert "A→B: luminance is inverted: its correlation with the input's is -1.00" in text


def test_both_directions_are_told_apart() -> None:
    model = cyclegan(Function(lambda images: images), Function(lambda images: -images))
    assert alarms_of(model) == {"copies_input": ["ab"], "luminance_inverted": ["ba"]}


# ------------------------------------------------------------------------------------------ the discriminator


class Scores(nn.Module):
    """A PatchGAN's map that knows real images of B by heart: scores of real at one number, all else at another."""

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
def test_a_perfect_discriminator_has_won_and_one_that_errs_has_not(
    objective: Objective, won: tuple[float, float], even: tuple[float, float]
) -> None:
    model = cyclegan(Function(brightened), adversarial=objective)
    model.disc_b = Scores(*won)
    assert alarms_of(model) == {"discriminator_won": ["b"]}
    model.disc_b = Scores(*even)
    assert alarms_of(model) == {}


def test_a_discriminator_trained_alone_wins() -> None:
    """The real thing: it learns, the generator does not."""
    model = cyclegan(Function(brightened), discriminator=partial(PatchDiscriminator, width=8, layers=2))
    optimizer = torch.optim.Adam(model.disc_b.parameters(), lr=1e-2)
    fakes = model.translate(REAL["A"], "A", "B")
    rows = [measured(model)]
    assert rows[0]["d_real_b"] == pytest.approx(rows[0]["d_fake_b"], abs=0.2), "before, it cannot tell"
    for _ in range(200):
        loss = model.adversarial.discriminator(model.disc_b(REAL["B"]), model.disc_b(fakes))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rows += [measured(model)] * 3
    assert raised(history(*rows)) == {"discriminator_won": ["b"]}
    (text,) = DiscriminatorWon().check(history(*rows)).values()
    real, fake = rows[-1]["d_real_b"], rows[-1]["d_fake_b"]
    assert f"B: the discriminator has won: it gives real images {real:.2f} and translated ones {fake:.2f}" in text


def test_without_a_bounded_judge_nobody_has_won() -> None:
    model = cyclegan(Function(brightened), adversarial=Wasserstein())
    model.disc_b = Scores(40.0, -40.0)
    assert "d_real_b" not in measured(model)
    assert alarms_of(model) == {}


# ------------------------------------------------------------------------------------------ the checkerboard


def uneven_upsampling(kernel: int) -> nn.Module:
    """Half the size, then a transposed convolution of stride 2 with equal weights, and the colours of `brightened`."""
    up = nn.ConvTranspose2d(3, 3, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2, bias=False)
    with torch.no_grad():
        up.weight.zero_()
        for channel in range(3):
            up.weight[channel, channel] = 4 / kernel**2
    return nn.Sequential(Function(brightened), nn.AvgPool2d(2), up)


def test_a_transposed_convolution_whose_stride_does_not_divide_its_kernel_leaves_a_checkerboard() -> None:
    uneven, even = cyclegan(uneven_upsampling(3)), cyclegan(uneven_upsampling(4))
    assert alarms_of(uneven) == {"checkerboard": ["ab"]}
    assert alarms_of(even) == {}
    (text,) = Checkerboard().check(history(*[measured(uneven)] * LONG)).values()
    assert f"A→B: outputs show a checkerboard, {measured(uneven)['checkerboard_ab']:.1f} dB beyond" in text


# ------------------------------------------------------------------------------------------ identity


def repainting(strength: float) -> dict[str, float]:
    """Metrics of a generator that tints everything: the identity loss of B is `strength`."""
    return measured(cyclegan(Function(lambda images: images - strength * images.sign())))


def test_a_generator_that_repaints_more_and_more_is_told() -> None:
    falling, rising = (0.3, 0.2, 0.1, 0.1, 0.1), (0.14, 0.16, 0.18)
    rows = history(repainting(0.5), *[repainting(strength) for strength in falling + rising])
    assert "identity_rising" not in raised(rows[:-1]), "of 0.10, 0.14, 0.16 the median is not yet half as much again"
    assert raised(rows)["identity_rising"] == ["b"]
    (text,) = IdentityRising().check(rows).values()
    assert "B: the identity loss rises: 0.160, and it was 0.100 (alarm: from 1.5 times and 0.02 above on" in text


@pytest.mark.parametrize(
    "values",
    [
        [0.30, 0.20, 0.15, 0.12, 0.11, 0.10, 0.10],  # falling
        [0.30, 0.20, 0.10, 0.40, 0.10, 0.11, 0.40, 0.10],  # single outliers
        [0.10, 0.13, 0.09, 0.12, 0.08, 0.13, 0.11, 0.13, 0.10],  # noise of a third
        [0.30, 0.28, 0.02, 0.30, 0.31, 0.29, 0.30],  # one lucky value does not make a low level
        [0.005, 0.006, 0.005, 0.012, 0.012, 0.012],  # twice next to nothing
        [0.30, 0.30, 0.30, 0.10, 0.10, 0.30, 0.30],  # a dip of two, which the newest window overlaps
        [0.10, 0.10, 0.20, 0.20, 0.20],  # two windows of three do not fit in
    ],
)
def test_noise_and_good_courses_are_not_rising(values: list[float]) -> None:
    assert IdentityRising().check(history({"identity_a": 0.9}, *[{"identity_a": value} for value in values])) == {}


def test_only_what_lies_before_is_compared_with() -> None:
    """Windows do not overlap, so the first time at which three of three are high is the alarm."""
    values = [0.1, 0.1, 0.1, 0.2, 0.2, 0.2]
    assert list(IdentityRising().check(history({}, *[{"identity_a": value} for value in values]))) == ["a"]
    # Far back counts, and comes to an end when the metric has.
    later = [*values, 0.2, 0.2, 0.2, 0.1, 0.1]
    assert list(IdentityRising().check(history({}, *[{"identity_a": value} for value in later[:-1]]))) == ["a"]
    assert list(IdentityRising().check(history({}, *[{"identity_a": value} for value in later]))) == []


# ------------------------------------------------------------------------------------------ all rules

BAD = {
    "change_ab": 0.0,
    "luminance_ab": -1.0,
    "variety_ab": 0.0,
    "checkerboard_ab": 30.0,
    "d_real_b": 1.0,
    "d_fake_b": 0.0,
}
GOOD = {
    "change_ab": 0.2,
    "luminance_ab": 0.6,
    "variety_ab": 0.9,
    "checkerboard_ab": 0.0,
    "d_real_b": 0.6,
    "d_fake_b": 0.3,
}
IN_A_ROW: list[tuple[Callable[..., Rule], int]] = [
    (DiscriminatorWon, 3),
    (CopiesInput, 2),
    (OutputsAlike, 2),
    (LuminanceInverted, 2),
    (Checkerboard, 3),
]


@pytest.mark.parametrize(("rule", "count"), IN_A_ROW)
def test_it_takes_several_validations_in_a_row_and_epoch_0_does_not_count(
    rule: Callable[..., Rule], count: int
) -> None:
    assert rule().check(history(*[BAD] * count)) == {}, "the first of them is of the untrained network"
    assert len(rule().check(history(*[BAD] * (count + 1)))) == 1
    assert rule().check(history(*[BAD] * count, GOOD, BAD)) == {}, "one that is well begins the count again"
    assert len(rule(validations=1).check(history(GOOD, GOOD, BAD))) == 1


@pytest.mark.parametrize(("rule", "count"), IN_A_ROW)
def test_what_is_not_measured_is_not_told(rule: Callable[..., Rule], count: int) -> None:
    assert rule().check([]) == {}
    assert rule().check(history({}, *[BAD] * count, {})) == {}
    unknown = {name: float("nan") for name in BAD}
    assert rule().check(history({}, *[unknown] * 4)) == {}
    assert rule().check(history({}, *[BAD] * count, unknown)) == {}, "it is not known any more"
    assert len(rule().check(history({}, *[BAD] * (count - 1), unknown, BAD))) == 1, "a hole is no validation"
    assert rule().check(history({}, *[{"change": 0.0, "variety": 0.0, "checkerboard": 30.0}] * 4)) == {}, "means"


@pytest.mark.parametrize(
    ("rule", "metrics"),
    [
        (CopiesInput(), {"change_ab": 0.05}),
        (OutputsAlike(), {"variety_ab": 0.2}),
        (LuminanceInverted(), {"luminance_ab": -0.3}),
        (Checkerboard(), {"checkerboard_ab": 12.0}),
        (DiscriminatorWon(), {"d_real_b": 0.89, "d_fake_b": 0.0}),
        (DiscriminatorWon(), {"d_real_b": 1.0, "d_fake_b": 0.11}),
    ],
)
def test_at_its_threshold_a_metric_is_let_pass(rule: Rule, metrics: dict[str, float]) -> None:
    assert rule.check(history(*[metrics] * LONG)) == {}


def test_thresholds_can_be_chosen() -> None:
    rows = history(*[{"change_ab": 0.03, "variety_photo_map": 0.3}] * LONG)
    assert CopiesInput(change=0.02).check(rows) == {}
    (text,) = OutputsAlike(variety=0.4).check(rows).values()
    assert text.startswith("photo_map: ")
    assert "below 0.4" in text


@pytest.mark.parametrize("rule", [*(rule for rule, _ in IN_A_ROW), IdentityRising])
def test_a_rule_looks_at_something(rule: Callable[..., Rule]) -> None:
    with pytest.raises(ValueError, match="validations is 0"):
        rule(validations=0)
