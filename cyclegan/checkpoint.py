"""Checkpoints: plain files that carry their own configuration, read without running code."""

import importlib
import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hydra.utils
import torch

from cyclegan.data.sizes import RESIZES, Scale
from cyclegan.errors import UserError
from cyclegan.images import CONVERSIONS, PixelFormat
from cyclegan.integrity import damage
from cyclegan.methods.translator import Translator

log = logging.getLogger(__name__)

TRUSTED_PACKAGES = ("cyclegan.methods", "cyclegan.networks", "cyclegan.losses", "cyclegan.optim")
TRUSTED_NAMES = (
    "torch.optim.Adam",
    "torch.optim.AdamW",
    "torch.optim.NAdam",
    "torch.optim.RAdam",
    "torch.optim.RMSprop",
    "torch.optim.SGD",
)


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, foreign or unsafe; the text says which, and what to do."""


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU, tensors and plain Python values only.

    Raises:
        CheckpointError: there is no such file, it is damaged, or it asks for code to be run.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"no checkpoint at {file}{_others_nearby(file)}")
    broken = damage(file)
    if broken:
        raise CheckpointError(
            f"{file} is damaged or is no checkpoint: {broken}. Take an earlier one from the same folder."
        )
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} was not read: it holds more than tensors and plain values, and reading that could run "
            f"code of whoever made the file. ({str(error).splitlines()[0]})"
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{file} ({file.stat().st_size} bytes) is damaged or is no checkpoint: {error}. "
            "Take an earlier one from the same folder."
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{file} holds a {type(checkpoint).__name__}, not a checkpoint of cyclegan-train")
    return checkpoint


def newest_intact(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Finds where a run can go on: its newest checkpoint that can be read. Says which it passed over, and why.

    Returns:
        the file and what is in it; None if there is no checkpoint at all.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    reasons = []
    for path in by_age(folder):
        try:
            found = read(path)
        except CheckpointError as error:
            reasons.append(str(error))
            log.info("resume    passed over: %s", error)
        else:
            return path, found
    if reasons:
        listed = "".join(f"\n  {reason}" for reason in reasons)
        raise CheckpointError(
            f"none of the {len(reasons)} checkpoints in {folder} can be read, so nothing was begun and nothing was "
            f"changed. Bring one back from a copy, or start again from nothing (overwrite=true).{listed}"
        )
    return None


def by_age(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first: `last`, those named by images, those named by epochs.

    A file with several names stands there once.
    """
    names = [folder / "last.ckpt", *rolling(folder), *sorted(folder.glob("epoch=*.ckpt"), reverse=True)]
    found: dict[tuple[int, int], Path] = {}
    for path in names:
        if path.is_file():
            status = path.stat()
            found.setdefault((status.st_dev, status.st_ino), path)
    return list(found.values())


def rolling(folder: Path) -> list[Path]:
    """The checkpoints that are named by images seen, newest first."""
    return sorted(folder.glob("images=*.ckpt"), reverse=True)


def load_translator(path: str | os.PathLike[str], trust: Iterable[str] = ()) -> Translator:
    """Rebuilds the translator of a run from a checkpoint alone, on the CPU, in eval mode.

    Where the run kept an average of the generators' weights (`callbacks=ema`), the average is used.

    Args:
        path: a file that `cyclegan-train` wrote.
        trust: packages besides this one whose classes the checkpoint's configuration may name.

    Raises:
        CheckpointError: the file cannot be used; see `read`, or it names code outside the allow-list.
    """
    checkpoint = read(path)
    config = checkpoint.get("config", {}).get("model")
    if config is None:
        raise CheckpointError(
            f"{path} carries no configuration (found: {', '.join(map(str, checkpoint))}); "
            "only checkpoints written by cyclegan-train can be loaded"
        )
    require_trusted(config, path, tuple(trust))
    translator = hydra.utils.instantiate(config, _convert_="all")
    if not isinstance(translator, Translator):
        raise CheckpointError(f"{path} describes a {type(translator).__name__}, which is no Translator")
    translator.load_state_dict(checkpoint["state_dict"])
    for name, weights in checkpoint.get("ema", {}).items():
        translator.generators()[name].load_state_dict(weights)
    translator.pixel_formats = {
        domain: _pixel_format(checkpoint.get("pictures", {}).get(domain, {}), channels, path)
        for domain, channels in translator.channels.items()
    }
    translator.scale = _scale(checkpoint["config"].get("data"), path)
    return translator.eval()


def _pixel_format(entry: dict[str, Any], channels: int, path: str | os.PathLike[str]) -> PixelFormat:
    """Of an entry of a checkpoint; without one, as before there were entries: 8 bits, whatever is lost on the way."""
    if not entry:
        return PixelFormat(channels, "uint8", convert=CONVERSIONS)
    try:
        values, convert = entry["range"], tuple(entry["convert"])
        found = PixelFormat(**entry | {"range": None if values is None else tuple(values), "convert": convert})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: what it says of its pictures cannot be used ({error}): {entry}") from error
    if found.channels != channels:
        raise CheckpointError(
            f"{path} contradicts itself: pictures of {found.channels} channels, networks of {channels}"
        )
    return found


def _scale(data: Any, path: str | os.PathLike[str]) -> Scale | None:
    """How the run's data module resized images; None if its configuration does not say."""
    if not isinstance(data, dict) or "load_size" not in data:
        return None
    load_size, resize = data["load_size"], data.get("resize", "stretch")
    if resize not in RESIZES or not (load_size is None or (type(load_size) is int and load_size > 0)):
        raise CheckpointError(f"{path}: its data.load_size is {load_size!r} and its data.resize {resize!r}, no scale")
    return Scale(load_size, resize)


def require_trusted(config: Any, path: str | os.PathLike[str], trust: tuple[str, ...] = ()) -> None:
    """Refuses a configuration that would import or call anything but this package's parts and torch's optimisers.

    Raises:
        CheckpointError: naming the entry, and how to allow it.
    """
    for key, value in leaves(config, "model"):
        if isinstance(value, str) and "${" in value:
            raise CheckpointError(f"{path}: {key} is {value!r}; a checkpoint's configuration is plain, without ${{}}")
        if key.rpartition(".")[2] in ("_target_", "path") and isinstance(value, str) and not _trusted(value, trust):
            raise CheckpointError(
                f"{path} was not loaded: its configuration calls {value!r} ({key}), which is not part of "
                f"cyclegan. If you know who made the file, and that code, pass --trust {value.split('.')[0]}"
            )


def _trusted(target: str, trust: tuple[str, ...]) -> bool:
    package = target.partition(".")[0]
    if target in TRUSTED_NAMES or package in trust:
        return True
    module, _, name = target.rpartition(".")
    if not any(module == p or module.startswith(f"{p}.") for p in TRUSTED_PACKAGES):
        return False
    # The name must have been made where it is found: a module's own imports (its `os`) are not offered.
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return getattr(found, "__module__", None) == module


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Everything in nested dictionaries and lists that is neither, with the dotted name of its place below `name`."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from leaves(entry, f"{name}.{index}")
    else:
        yield name, value


def _others_nearby(file: Path) -> str:
    found = sorted(p for p in file.parent.glob("*.ckpt")) or sorted(file.glob("**/*.ckpt"))
    return f"; there are {', '.join(str(p) for p in found[-5:])}" if found else ""
