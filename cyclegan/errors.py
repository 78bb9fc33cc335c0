"""Errors that a user can fix, and the recognition of out-of-memory errors."""

import errno
import re

OUT_OF_MEMORY = re.compile(
    r"out of memory"  # of CUDA and the other accelerators
    r"|CPUAllocator: (can't|not enough)|Cannot allocate memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_\w*ALLOC(ATION)?_FAILED"
    r"|(valid cuDNN algorithm|find an engine) to (run|execute)",  # cuDNN found no algorithm that fits into memory
    re.IGNORECASE,
)
"""Texts of those RuntimeErrors that mean out of memory."""


class UserError(ValueError):
    """An error that the user can fix: its text names the thing, what was found and the remedy.

    Commands report it in one line. Every other exception is a bug, of this package or of the user's own classes, and
    keeps its traceback.
    """


class RunError(UserError):
    """A run cannot begin as asked."""


class InputError(UserError):
    """There are no images to translate, or the output cannot be written."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, unsafe or does not fit."""


class DataError(UserError):
    """The data are not as training needs them."""


class ImageError(UserError):
    """An image cannot be read or written; the message names the file."""


class DiskError(ImageError):
    """An image cannot be read now, for a reason that lies in the machine and not in the file."""


class WeightsError(UserError, OSError):
    """Pretrained weights are unavailable; the message says where they belong and how to do without."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether the error, or one that it was raised from, means that a GPU's or the computer's memory ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)):  # torch.OutOfMemoryError is one
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
