"""The base of all errors that a user can fix."""


class UserError(ValueError):
    """An error that the user can fix: its text names the thing, what was found and the remedy.

    Commands report it in one line. Every other exception is a bug, of this package or of the user's own classes, and
    keeps its traceback.
    """
