"""A generator that hands its input through."""

from cyclegan.alarms.history import History, direction, places, recent, require_one_or_more


class CopiesInput:
    """A generator copies its input.

    Raised in a direction where, in each of the last `validations`, `change` (mean absolute difference of output
    and input, in images in [-1, 1]) is below `change`.

    Args:
        change: 0.05 is 6 steps of 8 bits.
        validations: in a row.
    """

    name = "copies_input"

    def __init__(self, change: float = 0.05, validations: int = 2) -> None:
        require_one_or_more(validations)
        self.change = change
        self.validations = validations

    def check(self, history: History) -> dict[str, str]:
        """The directions that copy; see `Rule.check`."""
        found = {}
        for place in places(history, "change"):
            values = recent(history, f"change_{place}", self.validations)
            if values and max(values) < self.change:
                found[place] = (
                    f"{direction(place)}: the generator copies its input, which it changes by {values[-1]:.3f} (alarm: "
                    f"below {self.change:g}, {self.validations} validations in a row); try a larger "
                    "model.loss_weights.adversarial, or a smaller model.loss_weights.identity"
                )
        return found
