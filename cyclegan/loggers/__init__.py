"""Where a run's figures go. Every logger counts images seen of each domain on its x-axis, under this name."""

import secrets
import string

POSITION = "images_seen"


def new_run_id() -> str:
    """Draws the name under which wandb knows a run: eight lower-case letters and digits, whatever the seed."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
