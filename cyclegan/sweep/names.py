"""Names of jobs: what a job changes, as the name of its folder."""

import hashlib
import re
from collections.abc import Mapping, Sequence

MAX_LENGTH = 80
"""Characters of a name. File systems allow 255, but names stand in tables and paths."""

UNSAFE = re.compile(r"[^\w.+-]")


def job_name(changes: Mapping[str, str]) -> str:
    """Return the name of a job, `identity=0.1,seed=1`, whatever the order of the keys.

    Keys are shortened to their last part where that is unique. Characters of a value that are unsafe in a path, or
    that separate values here, become `_`, and long names are cut; a hash then keeps such names apart.

    Args:
        changes: the swept keys and their values, as on the command line.
    """
    short = short_keys(list(changes))
    values = {key: changes[key] for key in sorted(changes)}
    safe = {short[key]: UNSAFE.sub("_", value).rstrip(".") for key, value in values.items()}
    name = ",".join(f"{UNSAFE.sub('_', key)}={value}" for key, value in safe.items()) or "job"
    if list(safe.values()) == list(values.values()) and len(name) <= MAX_LENGTH:
        return name
    digest = hashlib.sha256(repr(values).encode()).hexdigest()[:8]
    return f"{name[: MAX_LENGTH - 9]}~{digest}"


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
