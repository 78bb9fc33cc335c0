"""The base of all errors that a user can fix."""


class UserError(ValueError):
    """An error that the user can fix: its text names the thing, what was found and the remedy.

    Commands report it in one line. Every other exception is a bug, of this package or of the user's own classes, and
    keeps its traceback.
    """


class RunError(UserError):
    """A run that cannot begin as asked; the text says why and what to do."""


class InputError(UserError):
    """Nothing to translate, or nowhere to put it; the text says why and what to do."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, foreign or unsafe; the text says which, and what to do."""


class DataError(UserError):
    """The data are not as training needs them; the message says what was found and what to do."""


class ImageError(UserError):
    """An image cannot be read or written; the message names the file and says what to do."""


class DiskError(ImageError):
    """An image cannot be read now, for a reason that lies in the machine and not in the file."""


class WeightsError(UserError, OSError):
    """Weights that are needed are not to be had; the text says where they belong and how to do without."""
