"""What is said when a data set cannot be used."""

from cyclegan.errors import UserError


class DataError(UserError):
    """The data are not as training needs them; the message says what was found and what to do."""
