"""Checkpoints: a plain file that carries its own configuration, written atomically and read without running code."""

import importlib
import os
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hydra.utils
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import CheckpointIO

from cyclegan.methods.translator import Translator

TRUSTED_PACKAGES = ("cyclegan.methods", "cyclegan.networks", "cyclegan.losses", "cyclegan.optim")
TRUSTED_NAMES = (
    "torch.optim.Adam",
    "torch.optim.AdamW",
    "torch.optim.NAdam",
    "torch.optim.RAdam",
    "torch.optim.RMSprop",
    "torch.optim.SGD",
)


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, foreign or unsafe; the text says which, and what to do."""


# ---------------------------------------------------------------------------------------------- writing


class EmbedConfig(pl.Callback):
    """Puts the resolved configuration of the run into every checkpoint, so that the file is enough to use it.

    Args:
        config: plain dictionaries, lists, strings and numbers.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the entry `config`."""
        checkpoint["config"] = self.config


class RandomState(pl.Callback):
    """Keeps torch's random numbers in every checkpoint, which dropout and the gradient penalty draw from.

    Image order, augmentation and image pools have random numbers of their own.
    """

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the entry `random_state`, by the kind of device."""
        checkpoint["random_state"] = {"cpu": torch.get_rng_state()}
        if pl_module.device.type == "cuda":
            checkpoint["random_state"]["cuda"] = torch.cuda.get_rng_state(pl_module.device)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Goes on with the random numbers of the run that saved them, as far as the device is of the same kind."""
        state = checkpoint.get("random_state", {})
        if "cpu" in state:
            torch.set_rng_state(state["cpu"])
        if "cuda" in state and pl_module.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], pl_module.device)


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, syncs and renames, so that a file with a checkpoint's name is always whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Writes `checkpoint` to `path`; whatever stood there stays until the new file is complete."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with unfinished.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads tensors and plain Python values only, whatever `weights_only` says."""
        return read(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Deletes a checkpoint that may be gone already."""
        Path(path).unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------- reading


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU, tensors and plain Python values only.

    Raises:
        CheckpointError: there is no such file, it is damaged, or it asks for code to be run.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"no checkpoint at {file}{_others_nearby(file)}")
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
    return translator.eval()


def require_trusted(config: Any, path: str | os.PathLike[str], trust: tuple[str, ...] = ()) -> None:
    """Refuses a configuration that would import or call anything but this package's parts and torch's optimisers.

    Raises:
        CheckpointError: naming the entry, and how to allow it.
    """
    for key, value in _entries(config):
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


def _entries(config: Any, prefix: str = "model") -> Iterator[tuple[str, Any]]:
    if isinstance(config, dict):
        for key, value in config.items():
            yield from _entries(value, f"{prefix}.{key}")
    elif isinstance(config, list | tuple):
        for index, value in enumerate(config):
            yield from _entries(value, f"{prefix}.{index}")
    else:
        yield prefix, config


def _others_nearby(file: Path) -> str:
    found = sorted(p for p in file.parent.glob("*.ckpt")) or sorted(file.glob("**/*.ckpt"))
    return f"; there are {', '.join(str(p) for p in found[-5:])}" if found else ""
