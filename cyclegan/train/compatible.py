"""Which values of a configuration may change when a run is resumed."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import hydra.utils
import yaml

from cyclegan.errors import RunError
from cyclegan.optim import Schedule

# ---------------------------------------------------------------------------------------------- the configuration

FREE = (
    *("name", "group", "run_dir", "resume", "overwrite", "init_from", "logger"),
    # The data module itself checks that the training images are the same.
    *("data.root", "data.domains.*.train", "data.domains.*.val", "data.domains.*.test"),
    *("data.num_workers", "data.cache", "data.cache_dir", "data.header_checks"),
    "data.on_error",  # raise → skip lets the run continue; skip → raise can only stop it
    "data.domains.*.dtype",  # of translations
    "data.pairing",  # of held-out images
    "model.schedule",  # see schedule_change
    "model.generator.activation_checkpointing",  # computes the same, to the bit
    *(f"trainer.{unit}_{limit}" for limit in ("epochs", "steps") for unit in ("max", "min")),
    *("trainer.max_time", "trainer.log_every_n_steps", "trainer.logger", "trainer.callbacks"),
    *("trainer.profiler", "trainer.detect_anomaly", "trainer.default_root_dir", "trainer.inference_mode"),
    *("trainer.enable_checkpointing", "trainer.enable_progress_bar", "trainer.enable_model_summary"),
    *("trainer.enable_autolog_hparams", "trainer.benchmark", "trainer.deterministic"),
    *(f"trainer.limit_{stage}_batches" for stage in ("val", "test", "predict")),
    *("trainer.check_val_every_n_epoch", "trainer.val_check_interval", "trainer.num_sanity_val_steps"),
)
"""Keys, with all below them, on which the weights do not depend."""

INEXACT = tuple(f"trainer.{name}" for name in ("devices", "num_nodes", "accelerator", "strategy", "precision"))
"""Keys that change the rounding and the order of sums, but not what is learnt."""

SHARE_OR_COUNT = ("trainer.limit_train_batches", "trainer.overfit_batches")
"""Keys for which 1 means one batch, and 1.0 all of them."""


def require_continuable(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Refuse to resume a run with a configuration that makes it another run.

    A key that only one side has is an argument that another version of this package added or dropped, and is ignored.

    Args:
        old: the plain, resolved configuration in the checkpoint.
        new: the one to continue with.

    Returns:
        a line for each difference after which the run is no longer bit-exact.

    Raises:
        RunError: naming every value that differs and may not.
    """
    refused, inexact = [], []
    for key, before, after in _differences(_binding(old), _binding(new)):
        line = f"{key}: {_shown(before)} → {_shown(after)}"
        if _lies_in(key, INEXACT):
            inexact.append(f"{line} (no longer bit-exact)")
        elif not _lies_in(key, FREE) and not _passes(key, before, after, (old.get("data") or {}).get("on_error")):
            refused.append(line)
    if refused:
        listed = "".join(f"\n  {line}" for line in refused)
        raise RunError(
            f"a resumed run keeps its configuration, but these values differ from the checkpoint's:{listed}\n"
            "Give the old values, or begin a new run with these weights: name=... init_from=CHECKPOINT"
        )
    return inexact


def _passes(key: str, before: Any, after: Any, on_error: str | None) -> bool:
    """Return whether a value changes in a direction that keeps the training images the same."""
    if key == "data.source":
        return None in (before, after)
    if on_error == "raise":  # then all images could be read so far, and allowing more changes none of them
        if key == "data.max_pixels":
            return True
        if fnmatchcase(key, "data.domains.*.convert"):
            return set(before) <= set(after)
    return False


def _binding(config: Mapping[str, Any]) -> dict[str, Any]:
    # Of the callbacks, only Ema has weights: it may not be added, removed or changed.
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
    """Format a value as the command line takes it: null, true, [0.5, 0.999]."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()


# ---------------------------------------------------------------------------------------------- the learning rate


def schedule_change(old: Mapping[str, Any], new: Mapping[str, Any], epoch: int) -> str | None:
    """Describe in one line how the learning rate's schedule changes in a run that continues.

    Args:
        old: the plain, resolved configuration in the checkpoint.
        new: the one to continue with.
        epoch: number of epochs done.

    Returns:
        both schedules and the learning rate of the next epoch, counted from 1; None if nothing changes.
    """
    before, after = (_schedule(config) for config in (old, new))
    if before == after:
        return None
    model = new["model"]
    line = f"schedule  {before} → {after}"
    lr = (model.get("optimizer") or {}).get("lr")
    if lr is None or not model.get("schedule"):
        return line
    schedule: Schedule = hydra.utils.instantiate(model["schedule"], _convert_="all")
    return f"{line}; learning rate in epoch {epoch + 1}: {lr * schedule(epoch):.2e}"


def _schedule(config: Mapping[str, Any]) -> str:
    call = config["model"].get("schedule") or {"_target_": "none"}
    arguments = [f"{name}={_shown(value)}" for name, value in call.items() if name != "_target_" and value is not None]
    return f"{call['_target_'].rpartition('.')[2]}({', '.join(arguments)})"
