"""Build a translator from a checkpoint, calling only trusted code."""

import os
from collections.abc import Iterable
from typing import Any

import hydra.utils
import torch
from hydra.errors import InstantiationException
from torch import nn

from cyclegan import __version__
from cyclegan.checkpoint.published import published, recognised
from cyclegan.checkpoint.reading import checkpoint_file, read
from cyclegan.checkpoint.state_dicts import misfits
from cyclegan.checkpoint.targets import calls, require_trusted
from cyclegan.data.sizes import RESIZES, Scale
from cyclegan.errors import CheckpointError, UserError
from cyclegan.images import CONVERSIONS, PixelFormat
from cyclegan.methods.trained_generators import TrainedGenerators
from cyclegan.methods.translator import Translator
from cyclegan.networks.modes import Mode


def load_translator(
    path: str | os.PathLike[str],
    trust: Iterable[str] = (),
    direction: str | None = None,
    translate_in: Mode | None = None,
) -> Translator:
    """Build the translator of a run or of published weights, on the CPU and in eval mode.

    Uses the averages of the generators' weights if the run kept them (`callbacks=ema`). Does not advance the global
    random number generators.

    Args:
        path: a file that `cyclegan-train` wrote, or the folder of a run; see `checkpoint_file`. Or published weights;
            see `published`.
        trust: packages besides this one whose classes the checkpoint's configuration may name.
        direction: "A2B" or "B2A", of a file with one generator, which does not store it; None: A2B.
        translate_in: see `apply_in`; None: as the run's configuration says, `"eval"` for published weights.

    Raises:
        CheckpointError: the file cannot be read, its configuration names code that is not allowed or does not exist,
            its weights do not fit, or its method takes no `translate_in`.
    """
    path = checkpoint_file(path, direction)
    checkpoint = read(path)
    config = checkpoint.get("config")
    if isinstance(config, dict) and config.get("model") is not None:
        translator = _of_run(checkpoint, config, path, trust)
    elif "export" in checkpoint:
        translator = _of_export(checkpoint, path, trust)
    else:
        translator = published(checkpoint, path, direction)
    if translate_in is not None:
        if not hasattr(translator, "translate_in"):
            raise CheckpointError(f"{path}: {type(translator).__name__} has no translate_in, only its eval mode")
        translator.translate_in = translate_in  # type: ignore[assignment] # of the Module that torch sees
    return translator.eval()


def _of_run(
    checkpoint: dict[str, Any], config: dict[str, Any], path: os.PathLike[str], trust: Iterable[str]
) -> Translator:
    require_trusted(config["model"], path, tuple(trust))
    with torch.random.fork_rng(devices=[]):  # networks draw weights before they get those of the checkpoint
        translator: Translator = build(config["model"], "model", path)
    _load_weights(translator, checkpoint.get("state_dict"), path)
    for name, weights in checkpoint.get("ema", {}).items():
        _load_weights(translator.generators()[name], weights, path)
    _set_formats(translator, checkpoint.get("pixel_formats", {}), config.get("data"), path)
    return translator


def _of_export(checkpoint: dict[str, Any], path: os.PathLike[str], trust: Iterable[str]) -> Translator:
    about = checkpoint["export"]
    try:
        source, target = about["direction"]
        channels, spec, output = about["channels"], about["generator"], about["output"]
        formats, scale, mode = about["pixel_formats"], about["scale"], about["translate_in"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the JSON file beside it is not complete ({error!r})") from error
    if spec is None:
        generator, _ = recognised(checkpoint["state_dict"], path)
    else:
        require_trusted(spec, path, tuple(trust))
        with torch.random.fork_rng(devices=[]):
            generator = build(spec, "generator", path)
        _load_weights(generator, checkpoint["state_dict"], path)
    translator = TrainedGenerators({(source, target): generator}, channels, output)
    translator.translate_in = mode
    _set_formats(translator, formats, scale, path)
    return translator


def _set_formats(translator: Translator, formats: dict[str, Any], scale: Any, path: os.PathLike[str]) -> None:
    translator.pixel_formats = {
        domain: _pixel_format(formats.get(domain), channels, path) for domain, channels in translator.channels.items()
    }
    translator.scale = _scale(scale, path)


def build(config: dict[str, Any], key: str, path: os.PathLike[str]) -> Any:
    """Instantiate the part of a checkpoint's configuration at `key`; call `require_trusted` first.

    Raises:
        CheckpointError: the part names a class or an argument that does not exist here, or a class refuses a value.
    """
    try:
        list(calls(config, key))
        return hydra.utils.instantiate(config, _convert_="all")
    except (UserError, InstantiationException) as error:
        cause: BaseException | None = error
        while isinstance(cause, InstantiationException):
            cause = cause.__cause__
        if not isinstance(cause, UserError):  # a bug, whose traceback is wanted
            raise
        raise CheckpointError(f"{path} cannot be used with cyclegan {__version__}: {cause}") from error


def _load_weights(network: nn.Module, weights: Any, path: os.PathLike[str]) -> None:
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path} holds no weights: its entry state_dict is missing or no dictionary")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the networks that its configuration describes: "
            f"{misfits(network.state_dict(), weights)}"
        ) from error


def _pixel_format(entry: dict[str, Any] | None, channels: int, path: os.PathLike[str]) -> PixelFormat:
    if not entry:  # an earlier version: 8 bits, with every conversion allowed
        return PixelFormat(channels, "uint8", convert=CONVERSIONS)
    try:
        bounds = entry["range"] and tuple(entry["range"])
        convert = tuple(name for name in entry["convert"] if name != "lab")  # a conversion of earlier versions
        found = PixelFormat(**entry | {"range": bounds, "convert": convert})
        if found.channels != channels:
            raise ValueError(f"contradicts itself: images of {found.channels} channels, networks of {channels}")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its pixel format cannot be used ({error}): {entry}") from error
    return found


def _scale(data: Any, path: os.PathLike[str]) -> Scale | None:
    """Return the resizing of the run's data module; None if its configuration has no `load_size`."""
    if not isinstance(data, dict) or "load_size" not in data:
        return None
    load_size, resize = data["load_size"], data.get("resize", "stretch")
    if resize not in RESIZES or not (load_size is None or (type(load_size) is int and load_size > 0)):
        raise CheckpointError(f"{path}: its data.load_size={load_size!r} and data.resize={resize!r} are no valid scale")
    return Scale(load_size, resize)
