"""What is said when a picture cannot be read or written."""

from cyclegan.errors import UserError


class ImageError(UserError):
    """A picture cannot be read or written; the message names the file and says what to do."""


class DiskError(ImageError):
    """A picture cannot be read now, for a reason that lies in the machine and not in the file."""
