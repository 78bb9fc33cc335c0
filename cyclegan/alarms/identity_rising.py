"""Generators that begin to repaint what is right already."""

from statistics import median

from cyclegan.alarms.history import History, domain, places, require_one_or_more, series


class IdentityRising:
    """The identity loss on held-out images rises, after it was lower.

    Raised in a domain where the median of `identity` over the last `validations` is at least `factor` times the
    lowest median of as many earlier ones in a row, and at least `rise` above it. Medians, so that a single odd
    validation neither raises nor clears it; windows do not overlap.

    Args:
        factor: over the lowest.
        rise: and so much more, in images in [-1, 1]: multiples of next to nothing do not matter.
        validations: of which medians are taken.
    """

    name = "identity_rising"

    def __init__(self, factor: float = 1.5, rise: float = 0.02, validations: int = 3) -> None:
        require_one_or_more(validations)
        self.factor = factor
        self.rise = rise
        self.validations = validations

    def check(self, history: History) -> dict[str, str]:
        """The domains whose identity loss has risen; see `Rule.check`."""
        found = {}
        for place in places(history, "identity"):
            values, width = series(history, f"identity_{place}"), self.validations
            if len(values) < 2 * width:
                continue
            now = median(values[-width:])
            # The last window that begins early enough to end before the newest one.
            lowest = min(median(values[i : i + width]) for i in range(len(values) - 2 * width + 1))
            if now >= self.factor * lowest and now >= lowest + self.rise:
                found[place] = (
                    f"{domain(place)}: the identity loss rises: {now:.3f}, and it was {lowest:.3f} (alarm: from "
                    f"{self.factor:g} times and {self.rise:g} above on, medians of {width} validations); try a larger "
                    "model.loss_weights.identity or a lower model.optimizer.lr, and take an earlier checkpoint"
                )
        return found
