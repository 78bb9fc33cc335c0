"""When memory runs out: whether that is what an error means, and which settings need less."""

import errno
import re
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

TEXTS = re.compile(
    r"out of memory"  # of CUDA and the other accelerators
    r"|CPUAllocator: (can't|not enough)|Cannot allocate memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_\w*ALLOC(ATION)?_FAILED"
    r"|(valid cuDNN algorithm|find an engine) to (run|execute)",  # each that cuDNN tried lacked the room to work
    re.IGNORECASE,
)
"""What a RuntimeError says that is an out-of-memory error without being called so."""

SETTINGS = {
    "data.batch_size": "lower",
    "data.crop_size": "lower, with data.load_size",
    "model.generator.width": "lower",
    "model.generator.activation_checkpointing": "true",
    "trainer.precision": "bf16-mixed on a GPU",
    "data.num_workers": "lower, for the computer's memory",
}
"""The keys on which a run's need of memory depends most, and what needs less. The last three may change on a resume."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error, or one that it was raised from, says that a GPU's or the computer's memory ran out."""
    return any(_says_so(one) for one in _chain(error))


def remedies(config: DictConfig, error: BaseException) -> str:
    """One line: what ran out, and the settings that count, with their present values and what needs less.

    Args:
        config: of the run; keys that it lacks are left out.
        error: one for which `is_out_of_memory` holds.
    """
    culprit = next(one for one in _chain(error) if _says_so(one))
    computer = isinstance(culprit, MemoryError | OSError) or re.search("CPUAllocator|Cannot allocate", str(culprit))
    values = {key: OmegaConf.select(config, key) for key in SETTINGS}
    settings = [f"{key}={_typed(value)} ({SETTINGS[key]})" for key, value in values.items() if value is not None]
    return (
        f"the {'computer' if computer else 'GPU'}'s memory ran out ({_cause(culprit)}). "
        f"What counts most, with what needs less: {', '.join(settings)}. "
        "The generator's activation_checkpointing, the precision and the workers may change in a run that resume=auto "
        "goes on with; any other change makes it another run"
    )


def _says_so(error: BaseException) -> bool:
    import torch

    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and TEXTS.search(str(error)) is not None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it, as a traceback shows them."""
    seen = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _cause(error: BaseException) -> str:
    """The line of the error that says it, without what torch adds about its allocator and other processes."""
    lines = str(error).splitlines() or [type(error).__name__]
    line = next((line for line in lines if TEXTS.search(line)), lines[0])
    return re.split(r"(?<=free)\. |(?<=\.) (?=Process |Including )", line)[0]


def _typed(value: object) -> str:
    """As the command line takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
