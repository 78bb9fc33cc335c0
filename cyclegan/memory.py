"""When memory runs out: whether that is what an error means, and which settings need less."""

import errno
import inspect
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import hydra.utils
from omegaconf import OmegaConf

# ---------------------------------------------------------------------------------------------- the error

TEXTS = re.compile(
    r"out of memory"  # of CUDA and the other accelerators
    r"|CPUAllocator: (can't|not enough)|Cannot allocate memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_\w*ALLOC(ATION)?_FAILED"
    r"|(valid cuDNN algorithm|find an engine) to (run|execute)",  # each that cuDNN tried lacked the room to work
    re.IGNORECASE,
)
"""What a RuntimeError says that is an out-of-memory error without being called so."""

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error, or one that it was raised from, says that a GPU's or the computer's memory ran out."""
    return any(_says_so(one) for one in _chain(error))


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


def _of_the_computer(error: BaseException) -> bool:
    by_text = "CPUAllocator" in str(error) or "Cannot allocate memory" in str(error)
    return isinstance(error, MemoryError | OSError) or by_text


def _what_ran_out(error: BaseException) -> str:
    """Where memory ran out, how much was asked for and how much there is, as far as the error or torch says."""
    text = str(error)
    asked = re.search(r"tried to allocate ([\d.]+) (\w+)", text, re.IGNORECASE)
    amount = _readable(int(asked[1])) if asked and asked[2] == "bytes" else asked and f"{asked[1]} {asked[2]}"
    facts = [f"{amount} more were asked for"] if amount else []
    if _of_the_computer(error):
        where = "the computer's memory ran out"
    else:
        where = "the GPU's memory ran out"
        facts += [_room(text) or _room_by_torch()]
        if not asked and TEXTS.search(text):
            facts.append(text.splitlines()[0])
    return "; ".join([where, *filter(None, facts)])


def _room(text: str) -> str:
    """How full the GPU is, from the text of CUDA's error."""
    device = re.search(r"GPU (\d+) has a total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free", text)
    own = re.search(r"this process has ([\d.]+ \w+) memory in use", text)
    held = f", and this process holds {own[1]}" if own else ""
    return f"GPU {device[1]} has {device[2]}, of which {device[3]} are free{held}" if device else ""


def _room_by_torch() -> str:
    import torch

    if not torch.cuda.is_initialized():
        return ""
    try:
        free, total = torch.cuda.mem_get_info()
    except RuntimeError:  # after some errors CUDA answers nothing any more
        return ""
    held = _readable(torch.cuda.memory_reserved())
    device = torch.cuda.current_device()
    return f"GPU {device} has {_readable(total)}, of which {_readable(free)} are free, and this process holds {held}"


def _readable(size: float) -> str:
    """4000000000 as 3.73 GiB."""
    power = 0
    while size >= 1024 and power < len(UNITS) - 1:
        size, power = size / 1024, power + 1
    return f"{size:.2f} {UNITS[power]}"


# ---------------------------------------------------------------------------------------------- the remedies

SETTINGS = (
    "data.crop_size",
    "data.batch_size",
    "trainer.precision",
    *(f"model.generator.{name}" for name in ("width", "widths", "blocks", "activation_checkpointing")),
    "model.pool_size",
)
"""The keys on which a run's need of memory depends most."""

FULL_PRECISION = ("64-true", "64", "32-true", "32", "None")
NARROWEST = 8
"""Channels below which half the width is no advice any more."""

CONTINUABLE = ("trainer.precision", "model.generator.activation_checkpointing", "data.num_workers")
"""Those of the keys below that may change as a run goes on; see `cyclegan.continuation`."""


class Rung(NamedTuple):
    """A remedy: what to add to the command, and what comes of it."""

    overrides: tuple[str, ...]
    effect: str


def remedies(config: Mapping[str, Any], error: BaseException) -> str:
    """What ran out, the settings that count, and what to change, the least painful first.

    Args:
        config: of the run, as Hydra composes it or plain; keys that it lacks are passed over.
        error: one for which `is_out_of_memory` holds.

    Returns:
        lines for a terminal, in which each remedy is an override of `cyclegan-train`.
    """
    found = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    assert isinstance(found, Mapping)
    plain: Mapping[str, Any] = {str(key): value for key, value in found.items()}
    culprit = next((one for one in _chain(error) if _says_so(one)), error)
    computer = _of_the_computer(culprit)
    rungs = _ladder(plain, computer)
    lines = [f"{_what_ran_out(culprit)}."]
    keys = (*SETTINGS, "data.num_workers") if computer else SETTINGS
    settings = [_override(plain, key, value) for key in keys if (value := _value(plain, key)) is not None]
    if settings:
        lines.append(f"This run has {', '.join(settings)}.")
    if not rungs:
        device = "computer" if computer else "GPU"
        return "\n".join([*lines, f"None of its settings is left to lower: it takes a {device} with more memory."])
    lines.append("Add one or more of these to the command:")
    for rung in rungs:
        lines += [f"  {shlex.join(rung.overrides)}", f"      {rung.effect}"]
    return "\n".join([*lines, _how_to_go_on(rungs)])


def _ladder(config: Mapping[str, Any], computer: bool) -> list[Rung]:
    """The rungs that apply, in the order in which to try them; `computer` says whose memory ran out."""
    steps: list[Callable[[Mapping[str, Any]], Rung | None]]
    if computer and _trains_on_gpu(config):  # where all that the networks need is
        steps = [_fewer_workers]
    else:
        last = [_fewer_workers] if computer else []
        lower = [] if computer else [_lower_precision]
        steps = [_smaller_crop, _smaller_batch, *lower, _activation_checkpointing, _narrower, *last]
    return [rung for step in steps if (rung := step(config))]


def _smaller_crop(config: Mapping[str, Any]) -> Rung | None:
    crop, load, sizes = _value(config, "data.crop_size"), _value(config, "data.load_size"), _sizes(config)
    if not isinstance(crop, int) or sizes is None:
        return None
    multiple, minimum = sizes
    smallest = -(-minimum // multiple) * multiple
    smaller = max(smallest, crop // 2 // multiple * multiple)
    if smaller >= crop:
        return None
    changes = [_override(config, "data.crop_size", smaller)]
    if isinstance(load, int):
        changes.append(_override(config, "data.load_size", round(smaller * load / crop)))
    return Rung(tuple(changes), f"activations take about {100 * (smaller / crop) ** 2:.0f} %")


def _smaller_batch(config: Mapping[str, Any]) -> Rung | None:
    batch, accumulated = _value(config, "data.batch_size"), _value(config, "trainer.accumulate_grad_batches") or 1
    if not isinstance(batch, int) or batch < 2:
        return None
    smaller = next(size for size in range(batch // 2, 0, -1) if batch % size == 0)
    keep = _override(config, "trainer.accumulate_grad_batches", accumulated * batch // smaller)
    return Rung(
        (_override(config, "data.batch_size", smaller),),
        f"activations take about {100 * smaller / batch:.0f} %; {keep} beside it keeps the effective batch",
    )


def _lower_precision(config: Mapping[str, Any]) -> Rung | None:
    import torch

    if not torch.cuda.is_available() or str(_value(config, "trainer.precision")) not in FULL_PRECISION:
        return None
    lower = "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    effect = "most activations take half the bytes; a copy of the weights in 16 bits comes on top"
    if _value(config, "model.generator.norm") == "instance":
        # Autocast runs group norm in 32 bits, and so what follows it up to the next convolution.
        effect = "faster on most GPUs, but saves little memory or none: instance norm keeps 32 bits"
    return Rung((_override(config, "trainer.precision", lower),), effect)


def _activation_checkpointing(config: Mapping[str, Any]) -> Rung | None:
    generator = _value(config, "model.generator")
    argument = "activation_checkpointing"
    if not isinstance(generator, Mapping) or generator.get(argument) or argument not in _arguments(generator):
        return None
    return Rung(
        (_override(config, f"model.generator.{argument}", True),),
        "the same training; nine residual blocks keep half the activations, and a step takes a quarter longer",
    )


def _narrower(config: Mapping[str, Any]) -> Rung | None:
    width, widths = (_value(config, f"model.generator.{name}") for name in ("width", "widths"))
    effect = "half the width: the generators' activations take about half, their weights about a quarter"
    if isinstance(width, int) and width // 2 >= NARROWEST:
        return Rung((_override(config, "model.generator.width", width // 2),), effect)
    if isinstance(widths, list) and min(widths, default=0) // 2 >= NARROWEST:
        return Rung((_override(config, "model.generator.widths", [each // 2 for each in widths]),), effect)
    return None


def _fewer_workers(config: Mapping[str, Any]) -> Rung | None:
    workers = _value(config, "data.num_workers")
    if not isinstance(workers, int) or workers < 1:
        return None
    effect = "each worker is a process of its own, with batches of its own; the pictures do not depend on it"
    return Rung((_override(config, "data.num_workers", workers // 2),), effect)


def _how_to_go_on(rungs: list[Rung]) -> str:
    """Which of the rungs a run may take as it goes on, and what the others ask for."""
    keys = {override.lstrip("+").partition("=")[0] for rung in rungs for override in rung.overrides}
    free = [key for key in CONTINUABLE if key in keys]
    lines = [f"With another {' or '.join(free)}, the run can go on where it was saved: resume=auto."] if free else []
    if len(keys) > len(free):
        but = " (which a new width does not allow)" if any("width" in key for key in keys) else ""
        lines.append(
            f"{'The others make' if free else 'They make'} it another run: give it a name=... of its own. It can begin "
            f"with the weights of this one{but}: init_from=CHECKPOINT."
        )
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------- the configuration


def _value(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None if there is none."""
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _override(config: Mapping[str, Any], key: str, value: Any) -> str:
    """As the command line takes it: with a plus where the configuration has no such key yet."""
    parent, _, name = key.rpartition(".")
    plus = "" if name in (_value(config, parent) or {}) else "+"
    text = str(value).replace(" ", "")
    return f"{plus}{key}={text.lower() if isinstance(value, bool) else text}"


def _trains_on_gpu(config: Mapping[str, Any]) -> bool:
    import torch

    return _value(config, "trainer.accelerator") != "cpu" and torch.accelerator.is_available()


def _arguments(call: Mapping[str, Any]) -> Mapping[str, inspect.Parameter]:
    """The arguments of the class or function that a part of the configuration names."""
    try:
        return inspect.signature(hydra.utils.get_object(call["_target_"])).parameters
    except (KeyError, ImportError, ValueError, TypeError):  # hydra's own, and what inspect does not see through
        return {}


def _sizes(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """What a crop must be a multiple of, and its least size; None if the model does not say."""
    import torch

    try:
        with torch.device("meta"):  # its shapes without its memory
            model = hydra.utils.instantiate(config["model"], _convert_="all")
        return int(model.size_multiple), int(model.minimum_crop)
    except Exception:  # whatever a method's constructor raises must not take the place of the explanation
        return None
