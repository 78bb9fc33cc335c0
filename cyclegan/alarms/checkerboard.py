"""Outputs with the pattern that transposed convolutions leave."""

from cyclegan.alarms.history import History, direction, places, recent, require_one_or_more


class Checkerboard:
    """Outputs show a checkerboard.

    Raised in a direction where, in each of the last `validations`, `checkerboard` (by how much the outputs'
    spectrum stands out at the periods of 2 and 4 pixels, beyond that of real images) is above `decibels`.

    Args:
        decibels: 10 is ten times the power. A grid of ±8 of 255 over a photograph has about 14, an untrained
            ResNet 13 and more, and toy runs that go well up to 9 in their first epochs, of stripes half removed.
        validations: in a row.
    """

    name = "checkerboard"

    def __init__(self, decibels: float = 12.0, validations: int = 3) -> None:
        require_one_or_more(validations)
        self.decibels = decibels
        self.validations = validations

    def check(self, history: History) -> dict[str, str]:
        """The directions whose outputs show one; see `Rule.check`."""
        found = {}
        for place in places(history, "checkerboard"):
            values = recent(history, f"checkerboard_{place}", self.validations)
            if values and min(values) > self.decibels:
                found[place] = (
                    f"{direction(place)}: outputs show a checkerboard, {values[-1]:.1f} dB beyond real images "
                    f"(alarm: above {self.decibels:g}, {self.validations} validations in a row); if it stays, "
                    "begin again with model.generator.upsampling=resize"
                )
        return found
