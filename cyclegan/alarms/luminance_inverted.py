"""A generator that makes negatives."""

from cyclegan.alarms.history import History, direction, places, recent, require_one_or_more


class LuminanceInverted:
    """A generator turns light into dark.

    Raised in a direction where, in each of the last `validations`, `luminance` (correlation of the luminance of
    output and input, mean over images) is below `correlation`.

    Args:
        correlation: −1 is a negative, 1 has the same light and dark.
        validations: in a row.
    """

    name = "luminance_inverted"

    def __init__(self, correlation: float = -0.3, validations: int = 2) -> None:
        require_one_or_more(validations)
        self.correlation = correlation
        self.validations = validations

    def check(self, history: History) -> dict[str, str]:
        """The directions that invert; see `Rule.check`."""
        found = {}
        for place in places(history, "luminance"):
            values = recent(history, f"luminance_{place}", self.validations)
            if values and max(values) < self.correlation:
                found[place] = (
                    f"{direction(place)}: luminance is inverted: its correlation with the input's is {values[-1]:.2f} "
                    f"(alarm: below {self.correlation:g}, {self.validations} validations in a row); begin again with "
                    "another seed, or with a larger model.loss_weights.identity"
                )
        return found
