"""What may change when a run goes on: which values of its configuration, and what becomes of the learning rate."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import hydra.utils
import yaml

from cyclegan.checkpoint.loading import build, require_trusted
from cyclegan.errors import RunError
from cyclegan.optim import Schedule

# ---------------------------------------------------------------------------------------------- the configuration

FREE = (
    *("name", "group", "run_dir", "resume", "overwrite", "init_from", "logger"),
    # The data module itself makes sure that the training images are the same.
    *("data.root", "data.domains.*.train", "data.domains.*.val", "data.domains.*.test"),
    *("data.num_workers", "data.cache", "data.cache_dir", "data.header_checks"),
    "data.on_error",  # to skip what would have ended the run; the other way round ends it at worst
    "data.domains.*.dtype",  # of what is written
    "data.pairing",  # of held-out images
    "model.schedule",  # see rate_plan
    "model.generator.activation_checkpointing",  # computes the same, to the bit
    *(f"trainer.{unit}_{limit}" for limit in ("epochs", "steps") for unit in ("max", "min")),
    *("trainer.max_time", "trainer.log_every_n_steps", "trainer.logger", "trainer.callbacks"),
    *("trainer.profiler", "trainer.detect_anomaly", "trainer.default_root_dir", "trainer.inference_mode"),
    *("trainer.enable_checkpointing", "trainer.enable_progress_bar", "trainer.enable_model_summary"),
    *("trainer.enable_autolog_hparams", "trainer.benchmark", "trainer.deterministic"),
    *(f"trainer.limit_{stage}_batches" for stage in ("val", "test", "predict")),
    *("trainer.check_val_every_n_epoch", "trainer.val_check_interval", "trainer.num_sanity_val_steps"),
)
"""Keys, with all below them, on which no weight of the run depends."""

INEXACT = tuple(f"trainer.{name}" for name in ("devices", "num_nodes", "accelerator", "strategy", "precision"))
"""Keys that change how numbers are rounded and summed, but not what is learnt."""

SHARE_OR_COUNT = ("trainer.limit_train_batches", "trainer.overfit_batches")
"""Keys of which 1 means one batch, and 1.0 all of them."""


def require_continuable(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Refuses to go on with a run under a configuration that makes it another run.

    A key that only one side has is an argument that another version of this package added or dropped, and passes.

    Args:
        old: the plain, resolved configuration in the checkpoint.
        new: the one to go on with.

    Returns:
        a line for each difference after which the run is no longer bit for bit what it would have been.

    Raises:
        RunError: naming every value that differs and may not.
    """
    refused, inexact = [], []
    for key, before, after in _differences(_binding(old), _binding(new)):
        line = f"{key}: {_shown(before)} → {_shown(after)}"
        if _lies_in(key, INEXACT):
            inexact.append(f"{line} (no longer bit for bit the same run)")
        elif not _lies_in(key, FREE) and not _passes(key, before, after, (old.get("data") or {}).get("on_error")):
            refused.append(line)
    if refused:
        listed = "".join(f"\n  {line}" for line in refused)
        raise RunError(
            f"a run goes on as it began, but these values are not the checkpoint's:{listed}\n"
            "Give the old values, or begin a new run with these weights: name=... init_from=CHECKPOINT"
        )
    return inexact


def _passes(key: str, before: Any, after: Any, on_error: str | None) -> bool:
    """Whether this change is one of the values that only some changes of make another run."""
    if key == "data.source":
        return None in (before, after)
    if on_error == "raise":  # then all images could be read so far, and what is allowed besides changes none of them
        if key == "data.max_pixels":
            return True
        if fnmatchcase(key, "data.domains.*.convert"):
            return set(before) <= set(after)
    return False


def _binding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with that callback alone which keeps weights: it may neither come, go nor change."""
    return {**config, "callbacks": {"ema": (config.get("callbacks") or {}).get("ema")}}


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new or (key in SHARE_OR_COUNT and type(old) is not type(new)):
            yield key, old, new
        return
    # Arguments may come and go; the entries of a plain mapping, such as the channels of each domain, may not.
    takes_arguments = key == "" or ("_target_" in old and "_target_" in new)
    if not takes_arguments and old.keys() != new.keys():
        yield key, old, new
        return
    for name in old:
        if name in new:
            yield from _differences(old[name], new[name], f"{key}.{name}" if key else str(name))


def _lies_in(key: str, places: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, place) or fnmatchcase(key, f"{place}.*") for place in places)


def _shown(value: Any) -> str:
    """A value as the command line takes it: null, true, [0.5, 0.999]."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()


# ---------------------------------------------------------------------------------------------- the learning rate

COLUMNS = 6
FAR = 1000
"""How many epochs of a plan without an end are looked through for its first fall."""


def rate_plan(
    old_model: Mapping[str, Any],
    new_model: Mapping[str, Any],
    epoch: int,
    old_epochs: int | None,
    new_epochs: int | None,
) -> str | None:
    """A table of the learning rate as it was planned and as it will be from here on.

    Epochs in it count from 1, as in the progress bar.

    Args:
        old_model: `model` of the configuration in the checkpoint.
        new_model: the same of the one to go on with.
        epoch: 0-based, the one that the run goes on with; so many are done.
        old_epochs: `trainer.max_epochs` in the checkpoint; -1 or None is without an end.
        new_epochs: the same from here on.

    Returns:
        lines of less than 100 columns; None if neither the schedule nor the number of epochs has changed, or the
        models name no schedule or no `optimizer.lr`.

    Raises:
        CheckpointError: the checkpoint's schedule is not one of this package's, nor the one to go on with.
    """
    before, after = old_model.get("schedule"), new_model.get("schedule")
    lr = (new_model.get("optimizer") or {}).get("lr")
    if before is None or after is None or lr is None or (before == after and old_epochs == new_epochs):
        return None
    # What the user's own configuration calls anyway needs no other trust.
    call = {k: v for k, v in before.items() if k != "_target_" or v != after.get("_target_")}
    require_trusted({"schedule": call}, "the checkpoint")
    old: Schedule = build(before, "model.schedule", "the checkpoint")
    new: Schedule = hydra.utils.instantiate(after, _convert_="all")
    if old == new and old_epochs == new_epochs:  # the same written differently
        return None

    old_end, new_end = (None if n is None or n < 0 else n for n in (old_epochs, new_epochs))
    columns = _columns(old, new, epoch, old_end, new_end)
    discriminator_lr = new_model.get("discriminator_lr")
    players = {"": lr}
    if discriminator_lr is not None and discriminator_lr != lr:
        players = {"generators, ": lr, "discriminators, ": discriminator_lr}
    rows = [["epoch", *(str(e + 1) for e in columns)]]
    for player, base in players.items():
        rows.append([f"{player}as planned", *(_rate(base, old, e, old_end) for e in columns)])
        rows.append(
            [f"{player}from here on", *("done" if e < epoch else _rate(base, new, e, new_end) for e in columns)]
        )
    width = max(len(row[0]) for row in rows)
    title = (
        f"schedule  learning rate as planned ({_length(old_end)}) and from here on ({_length(new_end)}), {epoch} done"
    )
    lines = [" " * 10 + label.ljust(width) + "".join(cell.rjust(10) for cell in cells) for label, *cells in rows]
    return "\n".join([title, *lines])


def _columns(old: Schedule, new: Schedule, epoch: int, old_end: int | None, new_end: int | None) -> list[int]:
    """The 0-based epochs worth showing: where a plan starts, falls and ends, where the run stands, and some between."""
    ends = [end for end in (old_end, new_end) if end is not None]
    far = max([epoch, *ends]) + FAR
    falls = [_first_fall(old, 1, old_end or far), _first_fall(new, max(1, epoch), new_end or far)]
    chosen = {0, epoch, *(max(0, end - 1) for end in ends), *(e for e in falls if e is not None)}
    if len(ends) < 2:
        chosen.add(max(chosen) + 100)
    while len(chosen) < COLUMNS:
        gaps = pairwise(sorted(e for e in chosen if e >= epoch))
        start, stop = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0, 0))
        if stop - start < 2:
            break
        chosen.add((start + stop) // 2)
    return sorted(chosen)


def _first_fall(schedule: Schedule, start: int, stop: int) -> int | None:
    return next((e for e in range(start, stop) if schedule(e) < schedule(e - 1)), None)


def _rate(base: float, schedule: Schedule, epoch: int, end: int | None) -> str:
    """2.00e-4, or a dash after the plan's end."""
    if end is not None and epoch >= end:
        return "–"
    digits, _, exponent = f"{base * schedule(epoch):.2e}".partition("e")
    return f"{digits}e{int(exponent)}"


def _length(end: int | None) -> str:
    return "no end" if end is None else f"{end} epoch{'' if end == 1 else 's'}"
