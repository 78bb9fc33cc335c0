"""Loggers of metrics. Each uses the number of images seen of each domain as its x-axis."""

import secrets

POSITION = "images_seen"
"""Name of the x-axis."""


def new_run_id() -> str:
    """Draw a wandb run id of eight hexadecimal digits, independent of the seed."""
    return secrets.token_hex(4)
