"""Rules over the history of a run's metrics that tell when a training has gone wrong, and how."""

from cyclegan.alarms.checkerboard import Checkerboard
from cyclegan.alarms.copies_input import CopiesInput
from cyclegan.alarms.discriminator_won import DiscriminatorWon
from cyclegan.alarms.history import History, Metrics
from cyclegan.alarms.identity_rising import IdentityRising
from cyclegan.alarms.luminance_inverted import LuminanceInverted
from cyclegan.alarms.outputs_alike import OutputsAlike
from cyclegan.alarms.rule import Rule


def every_rule() -> list[Rule]:
    """All rules, with their usual thresholds."""
    return [
        DiscriminatorWon(),
        CopiesInput(),
        OutputsAlike(),
        LuminanceInverted(),
        IdentityRising(),
        Checkerboard(),
    ]


__all__ = [
    "Checkerboard",
    "CopiesInput",
    "DiscriminatorWon",
    "History",
    "IdentityRising",
    "LuminanceInverted",
    "Metrics",
    "OutputsAlike",
    "Rule",
    "every_rule",
]
