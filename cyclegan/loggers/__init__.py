"""Where a run's metrics go. Every logger counts images seen of each domain on its x-axis, under this name."""

import secrets
import string
from typing import Any, Protocol, runtime_checkable

POSITION = "images_seen"


@runtime_checkable
class ShowsImages(Protocol):
    """A logger that takes image files, as Lightning's wandb logger does."""

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Logs images, given as paths of their files, at a number of images seen."""
        ...


@runtime_checkable
class RaisesAlerts(Protocol):
    """A logger that can notify people."""

    def flag(self, name: str, text: str, step: int) -> None:
        """Raises an alert at a number of images seen, once."""
        ...


def new_run_id() -> str:
    """Draws the name under which wandb knows a run: eight lower-case letters and digits, whatever the seed."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
