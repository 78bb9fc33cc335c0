"""Errors that a user can fix, and the recognition of out-of-memory errors."""

import errno
import re

OUT_OF_MEMORY = re.compile(
    r"out of memory|CPUAllocator: (can't|not enough)|Cannot allocate memory|ALLOC(ATION)?_FAILED"
    r"|(valid cuDNN algorithm|find an engine) to (run|execute)",  # no algorithm of cuDNN fits into memory
    re.IGNORECASE,
)
"""Messages of RuntimeErrors that mean out of memory."""


EXTRAS = {
    "huggingface_hub": "export",
    "imagecodecs": "tiff",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "optuna": "search",
    "safetensors": "export",
    "submitit": "cluster",
    "tensorboard": "tensorboard",
    "tifffile": "tiff",
}
"""Modules that the base install lacks, and the extra of this package that brings each."""


def missing(module: str) -> str:
    """Say that a module is not installed, and how to install it."""
    package = module.partition(".")[0]
    wanted = f"'cyclegan[{EXTRAS[package]}]'" if package in EXTRAS else package.replace("_", "-")
    return f"the package {package.replace('_', '-')}, which is not installed: pip install {wanted}"


class UserError(ValueError):
    """An error that the user can fix; the message names the thing, what was found and the remedy.

    Commands report it in one line. Every other exception keeps its traceback.
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
    """An image cannot be read here and now: the disk fails, or a package is missing. The file may be intact."""


class WeightsError(UserError, OSError):
    """Pretrained weights are unavailable; the message says where to put them and how to do without."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether the error, or a cause of it, means that the memory of a GPU or of the computer ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
