"""Loggers of metrics. Each uses the number of images seen of each domain as its x-axis."""

import secrets

POSITION = "images_seen"
"""Name of the x-axis."""

PRUNE_FILE = "prune"
"""A file by which a sweep stops the job in whose folder it appears, which then counts as pruned and is not resumed."""


def new_run_id() -> str:
    """Draw a wandb run id of eight hexadecimal digits, independent of the seed."""
    return secrets.token_hex(4)
