"""Build a translator from a checkpoint, calling only trusted code."""

import os
from collections.abc import Iterable
from typing import Any

import hydra.utils
import torch
from hydra.errors import InstantiationException
from torch import nn

from cyclegan import __version__
from cyclegan.checkpoint.reading import checkpoint_file, read
from cyclegan.checkpoint.state_dicts import Weights, is_bare, misfits, renamed, shortened, unwrapped
from cyclegan.checkpoint.targets import calls, require_trusted
from cyclegan.data.sizes import RESIZES, Scale
from cyclegan.errors import CheckpointError, UserError
from cyclegan.images import CONVERSIONS, PixelFormat
from cyclegan.methods.single_generator import SingleGenerator
from cyclegan.methods.translator import Translator
from cyclegan.networks.resnet import ResnetGenerator, resnet_arguments


def load_translator(path: str | os.PathLike[str], trust: Iterable[str] = ()) -> Translator:
    """Build the translator of a run from a checkpoint, on the CPU and in eval mode.

    Uses the averages of the generators' weights if the run kept them (`callbacks=ema`). Does not advance the global
    random number generators.

    Args:
        path: a file that `cyclegan-train` wrote, or the folder of a run; see `checkpoint_file`. Or the bare state dict
            of one ResNet generator in the layout of the CycleGAN authors' code, which translates A into B.
        trust: packages besides this one whose classes the checkpoint's configuration may name.

    Raises:
        CheckpointError: the file cannot be read, its configuration names code that is not allowed or does not exist,
            or its weights do not fit.
    """
    path = checkpoint_file(path)
    checkpoint = read(path)
    config = checkpoint.get("config")
    if not isinstance(config, dict) or config.get("model") is None:
        if is_bare(checkpoint):
            return _single_generator(checkpoint, path)
        raise CheckpointError(
            f"{path} carries no configuration (found: {shortened(map(str, checkpoint))}); checkpoints written by "
            "cyclegan-train can be loaded, and state dicts of single ResNet generators"
        )
    require_trusted(config["model"], path, tuple(trust))
    with torch.random.fork_rng(devices=[]):  # networks draw weights before they get those of the checkpoint
        translator: Translator = build(config["model"], "model", path)
    _load_weights(translator, checkpoint.get("state_dict"), path)
    for name, weights in checkpoint.get("ema", {}).items():
        _load_weights(translator.generators()[name], weights, path)
    formats = checkpoint.get("pixel_formats", {})
    translator.pixel_formats = {
        domain: _pixel_format(formats.get(domain), channels, path) for domain, channels in translator.channels.items()
    }
    translator.scale = _scale(config.get("data"), path)
    return translator.eval()


def _single_generator(weights: Weights, path: os.PathLike[str]) -> Translator:
    arguments = resnet_arguments(unwrapped(weights))
    if arguments is None:
        raise CheckpointError(
            f"{path} is a state dict (found: {shortened(weights)}), but not of a ResNet generator in the layout of the "
            f"CycleGAN authors' code. To begin a run with it: 'init_from={{gen_ab: {path}}}'"
        )
    with torch.random.fork_rng(devices=[]):
        generator = ResnetGenerator(**arguments)
    _load_weights(generator, renamed(weights, generator.state_dict())[0], path)
    return SingleGenerator(generator, arguments["in_channels"], arguments["out_channels"]).eval()


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
