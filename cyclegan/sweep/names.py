"""Names of jobs: what a job changes, as the name of its folder."""

import hashlib
import re
from collections.abc import Mapping, Sequence

MAX_LENGTH = 80
"""Characters of a name. File systems allow 255, but names stand in tables and paths."""


def job_name(changes: Mapping[str, str]) -> str:
    """Return the name of a job, `identity=0.1,seed=1`, whatever the order of the keys.

    Keys are shortened to their last part where that is unique. Characters that are unsafe in a path become `_`, and
    long names are cut; a hash then keeps such names apart.

    Args:
        changes: the swept keys and their values, as on the command line.
    """
    short = short_keys(list(changes))
    exact = ",".join(f"{short[key]}={changes[key]}" for key in sorted(changes))
    safe = re.sub(r"[^\w.,=+-]", "_", exact).strip(".") or "job"
    if safe == exact and len(exact) <= MAX_LENGTH:
        return exact
    digest = hashlib.sha256(exact.encode()).hexdigest()[:6]
    return f"{safe[: MAX_LENGTH - 7]}~{digest}"


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return the shortest unique last parts of keys: `identity` for `model.loss_weights.identity`."""
    short = {}
    for key in keys:
        parts = key.lstrip("+").split(".")
        candidates = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        others = [f".{other.lstrip('+')}" for other in keys if other != key]
        unique = [name for name in candidates if not any(other.endswith(f".{name}") for other in others)]
        short[key] = unique[0] if unique else candidates[-1]
    return short
