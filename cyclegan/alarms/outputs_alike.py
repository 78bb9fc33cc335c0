"""A generator that makes the same image of everything."""

from cyclegan.alarms.history import History, direction, places, recent, require_one_or_more


class OutputsAlike:
    """All outputs of a generator are alike.

    Raised in a direction where, in each of the last `validations`, `variety` (how much the outputs differ among
    themselves, relative to real images) is below `variety`.

    Args:
        variety: 1 is as much as real images, 0 all alike.
        validations: in a row.
    """

    name = "outputs_alike"

    def __init__(self, variety: float = 0.2, validations: int = 2) -> None:
        require_one_or_more(validations)
        self.variety = variety
        self.validations = validations

    def check(self, history: History) -> dict[str, str]:
        """The directions whose outputs are alike; see `Rule.check`."""
        found = {}
        for place in places(history, "variety"):
            values = recent(history, f"variety_{place}", self.validations)
            if values and max(values) < self.variety:
                found[place] = (
                    f"{direction(place)}: all outputs are alike: they differ {values[-1]:.2f} times as much as real "
                    f"images do (alarm: below {self.variety:g}, {self.validations} validations in a row); try larger "
                    "model.loss_weights.cycle_a and cycle_b, a lower model.optimizer.lr, or another seed"
                )
        return found
