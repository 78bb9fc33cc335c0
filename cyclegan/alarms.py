"""Alarms: rules over the validation metrics of a run that detect a training that has gone wrong."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Protocol

History = Sequence[Mapping[str, float]]
"""The validations so far, oldest first: each with `epoch`, `images` and its metrics by name, such as `change_ab`."""


class Rule(Protocol):
    """A failure of training and the metrics that show it. A rule has no state."""

    name: str
    """Name in logs and columns: lower case, with underscores."""

    def check(self, history: History) -> dict[str, str]:
        """Return a message for each direction or domain, such as `ab`, in which the rule holds now.

        A message names the direction or domain, the values found and the threshold.
        """
        ...


class Threshold:
    """Holds for a direction or domain whose metric was beyond a threshold in each of the last validations.

    Args:
        name: name of the alarm.
        metric: name of the metric without direction or domain, such as `change`.
        below: the metric is below this number, or
        above: it is above this one.
        validations: number of validations in a row.
        meaning: what the alarm means, for the message.
    """

    def __init__(
        self,
        name: str,
        metric: str,
        below: float = -math.inf,
        above: float = math.inf,
        validations: int = 2,
        meaning: str = "",
    ) -> None:
        self.name = name
        self.metric = metric
        self.below = below
        self.above = above
        self.validations = validations
        self.meaning = meaning

    def check(self, history: History) -> dict[str, str]:
        found = {}
        meaning = f"{self.meaning}, " if self.meaning else ""
        for place, values in _series(history, self.metric, self.validations).items():
            if all(value < self.below or value > self.above for value in values[-self.validations :]):
                bound = f"below {self.below:g}" if values[-1] < self.below else f"above {self.above:g}"
                found[place] = (
                    f"{_shown(place)}: {meaning}{self.metric} is {values[-1]:.3g} (alarm: {bound}, {self.validations} "
                    "validations in a row)"
                )
        return found


class DiscriminatorWon:
    """Holds for a domain whose discriminator separates real from translated images in several validations.

    In toy runs that go well, the score of real images stays below 0.8 and that of translations above 0.08; without an
    adversarial term in the generators' loss they are 0.9 to 0.98 and 0.07 to 0.01 from the first epoch on.

    Args:
        real: lowest score of real images, in [0, 1].
        fake: highest score of translated images.
        validations: number of validations in a row.
    """

    name = "discriminator_won"

    def __init__(self, real: float = 0.9, fake: float = 0.1, validations: int = 3) -> None:
        self.real = real
        self.fake = fake
        self.validations = validations

    def check(self, history: History) -> dict[str, str]:
        found = {}
        fakes = _series(history, "d_fake", self.validations)
        for place, reals in _series(history, "d_real", self.validations).items():
            real, fake = reals[-self.validations :], fakes.get(place, [math.inf])[-self.validations :]
            if min(real) >= self.real and max(fake) <= self.fake:
                found[place] = (
                    f"{_shown(place)}: the discriminator has won, real images score {real[-1]:.2f} and translated ones "
                    f"{fake[-1]:.2f} (alarm: at least {self.real:g} and at most {self.fake:g}, {self.validations} "
                    "validations in a row)"
                )
        return found


class IdentityRising:
    """Holds for a domain whose identity loss on held-out images has risen.

    The median of `identity` over the last validations is compared with the lowest median of as many earlier ones in a
    row. Windows do not overlap. With medians, a single outlier neither raises nor clears the alarm.

    Args:
        factor: the median is at least this many times the lowest one,
        rise: and at least this much above it, in images in [-1, 1], as multiples of almost nothing do not matter.
        validations: length of the windows.
    """

    name = "identity_rising"

    def __init__(self, factor: float = 1.5, rise: float = 0.02, validations: int = 3) -> None:
        self.factor = factor
        self.rise = rise
        self.validations = validations

    def check(self, history: History) -> dict[str, str]:
        found = {}
        width = self.validations
        for place, values in _series(history, "identity", 2 * width).items():
            now = median(values[-width:])
            lowest = min(median(values[i : i + width]) for i in range(len(values) - 2 * width + 1))
            if now >= self.factor * lowest and now >= lowest + self.rise:
                found[place] = (
                    f"{_shown(place)}: the identity loss rises, to {now:.3f} from {lowest:.3f} (alarm: at least "
                    f"{self.factor:g} times and {self.rise:g} more, medians of {width} validations)"
                )
        return found


def default_rules() -> list[Rule]:
    """Return the rules of a run that names none.

    The checkerboard's 12 dB: a grid of ±8 of 255 over a photograph has about 14, an untrained ResNet 13 and more, and
    toy runs that go well have up to 9 in their first epochs. The change of 0.05 is 6 of 255.
    """
    return [
        DiscriminatorWon(),
        Threshold("copies_input", "change", below=0.05, meaning="the generator copies its input"),
        Threshold("outputs_alike", "variety", below=0.2, meaning="all outputs are alike"),
        Threshold("luminance_inverted", "luminance", below=-0.3, meaning="light and dark are inverted"),
        IdentityRising(),
        Threshold("checkerboard", "checkerboard", above=12.0, validations=3, meaning="outputs show a checkerboard"),
    ]


def _series(history: History, metric: str, least: int) -> dict[str, list[float]]:
    """Return the finite values of a metric, oldest first, by direction or domain: under `ab` those of `change_ab`.

    Without epoch 0, when the networks are untrained. Only of places that the newest validation has measured, with at
    least this number of values.
    """
    found = {}
    for name in sorted(history[-1] if history else []):
        values = [row[name] for row in history if row["epoch"] > 0 and math.isfinite(row.get(name, math.nan))]
        if name.startswith(f"{metric}_") and math.isfinite(history[-1][name]) and len(values) >= least:
            found[name.removeprefix(f"{metric}_")] = values
    return found


def _shown(place: str) -> str:
    """Return `A→B` for the direction `ab` and `A` for the domain `a`; longer names stay as they are."""
    return "→".join(place.upper()) if len(place) <= 2 else place
