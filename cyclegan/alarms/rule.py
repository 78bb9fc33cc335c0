"""What a rule is."""

from typing import Protocol

from cyclegan.alarms.history import History


class Rule(Protocol):
    """A way to fail, and the metrics in which it shows. It remembers nothing: the history is all there is."""

    @property
    def name(self) -> str:
        """In metrics, files and pages: lower case, with underscores."""
        ...

    def check(self, history: History) -> dict[str, str]:
        """Looks at the metrics of every validation so far, oldest first.

        Returns:
            for each direction or domain in which the rule holds now, by its suffix such as `ab`: a line that
            names it, what was found, the threshold and what to try. Empty: all is well.
        """
        ...
