"""Compare the configuration of a resumed run with that of its checkpoint."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import hydra.utils
import yaml

from cyclegan.errors import RunError

FREE = (
    *("name", "group", "run_dir", "resume", "overwrite", "init_from", "logger"),
    *("objective", "objective_value"),
    # The data module itself checks that the training images are the same.
    *("data.root", *(f"data.domains.*.{name}" for name in ("train", "val", "test", "folder"))),
    *("data.num_workers", "data.cache", "data.cache_dir", "data.header_checks"),
    "data.on_error",  # raise → skip lets the run continue; skip → raise can only stop it
    "data.domains.*.dtype",  # of translations
    "data.pairing",  # of held-out images
    "model.schedule",  # see schedule_change
    "model.generator.activation_checkpointing",  # computes the same, to the bit
    *("trainer.max_*", "trainer.min_*", "trainer.enable_*", "trainer.log_every_n_steps", "trainer.profiler"),
    *("trainer.detect_anomaly", "trainer.inference_mode", "trainer.benchmark", "trainer.deterministic"),
)
"""Keys, with all below them, that do not influence the weights."""

INEXACT = (
    *(f"trainer.{name}" for name in ("devices", "num_nodes", "accelerator", "strategy", "precision")),
    *("model.channels_last", "model.compile", "model.optimizer.fused", "model.optimizer.foreach"),
)
"""Keys that change the rounding and the order of sums, but not what is learnt."""


def require_continuable(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Refuse to resume a run with a configuration that would train other weights.

    Both are plain and resolved. An argument that only one side has was added or dropped by another version of this
    package, and is ignored.

    Returns:
        a line for each difference that makes the run no longer bit-exact.

    Raises:
        RunError: a value differs that may not change; the message lists all of them.
    """
    refused, inexact = [], []
    for key, before, after in _differences(_without_callbacks(old), _without_callbacks(new)):
        line = f"{key}: {_shown(before)} → {_shown(after)}"
        if _matches(key, INEXACT):
            inexact.append(f"{line} (no longer bit-exact)")
        elif not _may_change(key, before, after, (old.get("data") or {}).get("on_error")):
            refused.append(f"\n  {line}")
    if refused:
        raise RunError(
            f"a resumed run keeps its configuration, but these values differ from the checkpoint's:{''.join(refused)}\n"
            "Give the old values, or begin a new run with these weights: name=... init_from=CHECKPOINT"
        )
    return inexact


def is_free(key: str) -> bool:
    """Return whether a key has no influence on the weights."""
    return _matches(key, FREE)


def _may_change(key: str, before: Any, after: Any, on_error: str | None) -> bool:
    if key == "data.source":
        return None in (before, after)
    # With on_error=raise, all images could be read so far, so that allowing more changes none of them.
    if on_error == "raise" and fnmatchcase(key, "data.domains.*.convert"):
        return set(before) <= set(after)
    return is_free(key) or (on_error == "raise" and key == "data.max_pixels")


def _without_callbacks(config: Mapping[str, Any]) -> dict[str, Any]:
    # Of the callbacks, only Ema has weights: it may not be added, removed or changed.
    return {**config, "callbacks": {"ema": (config.get("callbacks") or {}).get("ema")}}


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        # 1 is one batch, and 1.0 are all.
        if old != new or (key == "trainer.limit_train_batches" and type(old) is not type(new)):
            yield key, old, new
        return
    # Arguments may be added and dropped; the entries of a plain mapping, such as the channels of each domain, may not.
    takes_arguments = key == "" or ("_target_" in old and "_target_" in new)
    if not takes_arguments and old.keys() != new.keys():
        yield key, old, new
        return
    for name in old:
        if name in new:
            yield from _differences(old[name], new[name], f"{key}.{name}" if key else str(name))


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) or fnmatchcase(key, f"{pattern}.*") for pattern in patterns)


def _shown(value: Any) -> str:
    """Format a value as the command line takes it: null, true, [0.5, 0.999]."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()


def schedule_change(old: Mapping[str, Any], new: Mapping[str, Any], epoch: int) -> str | None:
    """Describe in one line a new schedule, and its learning rate after `epoch` epochs; None if it is the old one."""
    before, after = (_schedule(config) for config in (old, new))
    if before == after:
        return None
    line = f"schedule  {before} → {after}"
    lr = (new["model"].get("optimizer") or {}).get("lr")
    if lr is None or not new["model"].get("schedule"):
        return line
    schedule = hydra.utils.instantiate(new["model"]["schedule"], _convert_="all")
    return f"{line}; learning rate in epoch {epoch + 1}: {lr * schedule(epoch):.2e}"


def _schedule(config: Mapping[str, Any]) -> str:
    call = config["model"].get("schedule") or {"_target_": "none"}
    arguments = [f"{name}={_shown(value)}" for name, value in call.items() if name != "_target_" and value is not None]
    return f"{call['_target_'].rpartition('.')[2]}({', '.join(arguments)})"
