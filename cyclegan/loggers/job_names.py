"""How a job of a sweep is named in wandb."""

from collections.abc import Mapping

LONGEST_TAG = 64
"""Number of characters of a tag that wandb accepts."""


def names_for_job(overrides: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the wandb name of a sweep's job, `identity=0.1,seed=1`, and its tags, `identity=0.1` and `seed=1`.

    Keys are shortened to as many of their last parts as it takes to tell them apart. Longer tags than wandb accepts
    are cut.

    Args:
        overrides: what the job changes: values as on the command line, by their full keys.
    """
    changes = [f"{_shortened(key, overrides)}={value}" for key, value in overrides.items()]
    cut = (change if len(change) <= LONGEST_TAG else f"{change[: LONGEST_TAG - 3]}..." for change in changes)
    return ",".join(changes), list(dict.fromkeys(cut))


def _shortened(key: str, among: Mapping[str, str]) -> str:
    parts = key.split(".")
    ends = (".".join(parts[-count:]) for count in range(1, len(parts)))
    return next((end for end in ends if sum(f".{other}".endswith(f".{end}") for other in among) == 1), key)
