"""Loggers of metrics. Each uses the number of images seen of each domain as its x-axis."""

import secrets
import string
from typing import Any, Protocol, runtime_checkable

POSITION = "images_seen"
"""Name of the x-axis."""


@runtime_checkable
class ShowsImages(Protocol):
    """A logger that takes image files, as Lightning's wandb logger does."""

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log images, given as paths, at a number of images seen."""
        ...


@runtime_checkable
class RaisesAlerts(Protocol):
    """A logger that can notify people."""

    def flag(self, name: str, text: str, step: int) -> None:
        """Send an alert at a number of images seen."""
        ...


def new_run_id() -> str:
    """Draw a wandb run id: eight lower-case letters and digits, independent of the seed."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
