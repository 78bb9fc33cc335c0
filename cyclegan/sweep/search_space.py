"""The space of a search: Hydra's overrides as distributions of Optuna, and values as the overrides of a job."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from cyclegan.errors import RunError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def search_space(overrides: Mapping[str, Override]) -> dict[str, "BaseDistribution"]:
    """Return the distributions of the swept keys.

    `a,b`, `choice(a, b)` and `glob(*)` are categories; `range(1, 9, 2)` has the same values as in a grid;
    `interval(0, 1)` has floats and `int(interval(1, 9))` integers, both with their ends; `tag(log, ...)` makes a number
    logarithmic.

    Raises:
        RunError: no key is swept, or the values of one are no distribution.
    """
    space = {}
    for key, override in overrides.items():
        if override.is_sweep_override():
            try:
                space[key] = _distribution(override)
            except ValueError as error:
                raise RunError(f"{override.input_line}: {str(error).rstrip('.')}") from error
    if not space:
        raise RunError(
            "a search needs a key with several values: KEY=interval(LOW,HIGH), KEY=tag(log,interval(LOW,HIGH)), "
            "KEY=int(interval(LOW,HIGH)) or KEY=A,B"
        )
    return space


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: Any = override.value()
    is_number = isinstance(found, IntervalSweep | RangeSweep)
    tags: set[str] = getattr(found, "tags", set())
    if unknown := tags - ({"log"} if is_number else set()):
        raise ValueError(f"the tag {min(unknown)!r} means nothing here; a number takes tag(log, ...)")
    if not is_number:
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    if isinstance(found, RangeSweep):
        values = sorted(found.range())
        if not values:
            raise ValueError("this range has no values")
        low, high, step = values[0], values[-1], abs(found.step)
    else:
        low, high, step = found.start, found.end, None
    if isinstance(low, int):
        return IntDistribution(low, high, log="log" in tags, step=int(step or 1))
    return FloatDistribution(low, high, log="log" in tags, step=step)


def as_overrides(overrides: Mapping[str, Override], values: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a job, as Hydra's sweepers do: what all jobs have in common, and a trial's values.

    Floats are rounded to six digits, since they are part of the job's name.
    """
    texts = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in values.items()}
    return [
        f"{key}={texts[key] if key in texts else override.get_value_element_as_str()}"
        for key, override in overrides.items()
    ]


def probes(overrides: Mapping[str, Override]) -> list[list[str]]:
    """Return the overrides of jobs that have, together, both ends of every number and every category."""
    ends = {
        key: getattr(distribution, "choices", None) or (distribution.low, distribution.high)  # type: ignore[attr-defined]
        for key, distribution in search_space(overrides).items()
    }
    return [
        as_overrides(overrides, {key: values[place % len(values)] for key, values in ends.items()})
        for place in range(max(map(len, ends.values())))
    ]
