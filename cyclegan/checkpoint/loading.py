"""Build a translator from a checkpoint alone, without running foreign code."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import hydra.utils
import torch
from hydra.errors import InstantiationException
from torch import nn

from cyclegan import __version__
from cyclegan.checkpoint.reading import checkpoint_file, read
from cyclegan.checkpoint.state_dicts import Weights, is_bare, misfits, renamed, shortened, unwrapped
from cyclegan.checkpoint.targets import require_trusted, resolve
from cyclegan.data.sizes import RESIZES, Scale
from cyclegan.errors import CheckpointError, UserError
from cyclegan.images import CONVERSIONS, PixelFormat
from cyclegan.methods.single_generator import SingleGenerator
from cyclegan.methods.translator import Translator
from cyclegan.networks.resnet import ResnetGenerator, resnet_arguments


def load_translator(path: str | os.PathLike[str], trust: Iterable[str] = ()) -> Translator:
    """Build the translator of a run from a checkpoint, on the CPU and in eval mode.

    The average of the generators' weights is used if the run kept one (`callbacks=ema`). Global random numbers are left
    as they were.

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
        translator = _build(config["model"], path)
    if not isinstance(translator, Translator):
        raise CheckpointError(f"{path} describes a {type(translator).__name__}, which is no Translator")
    _load_weights(translator, checkpoint.get("state_dict"), path)
    for name, weights in checkpoint.get("ema", {}).items():
        _load_weights(translator.generators()[name], weights, path)
    formats = checkpoint.get("pixel_formats", checkpoint.get("pictures", {}))  # pictures: the earlier name
    translator.pixel_formats = {
        domain: _pixel_format(formats.get(domain, {}), channels, path)
        for domain, channels in translator.channels.items()
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


def _build(config: dict[str, Any], path: os.PathLike[str]) -> Any:
    """Instantiate a trusted configuration."""
    try:
        for place, call in _calls(config, "model"):
            resolve(call["_target_"], [name for name in call if not name.startswith("_")], place)
        return hydra.utils.instantiate(config, _convert_="all")
    except UserError as error:
        raise CheckpointError(f"{path} cannot be used with cyclegan {__version__}: {error}") from error
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError):
            cause = cause.__cause__
        if cause is None:  # a bug, whose traceback is wanted
            raise
        raise CheckpointError(f"{path} cannot be used with cyclegan {__version__}: {cause}") from error


def _calls(value: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every call in a configuration with its dotted key."""
    if isinstance(value, dict) and "_target_" in value:
        yield key, value
    if isinstance(value, dict | list):
        for name, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _calls(entry, f"{key}.{name}")


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


def _pixel_format(entry: dict[str, Any], channels: int, path: os.PathLike[str]) -> PixelFormat:
    if not entry:  # an earlier version: 8 bits, with every conversion allowed
        return PixelFormat(channels, "uint8", convert=CONVERSIONS)
    try:
        values, convert = entry["range"], tuple(entry["convert"])
        found = PixelFormat(**entry | {"range": None if values is None else tuple(values), "convert": convert})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its pixel format cannot be used ({error}): {entry}") from error
    if found.channels != channels:
        raise CheckpointError(f"{path} contradicts itself: images of {found.channels} channels, networks of {channels}")
    return found


def _scale(data: Any, path: os.PathLike[str]) -> Scale | None:
    """Return how the run's data module resized images; None if its configuration does not say."""
    if not isinstance(data, dict) or "load_size" not in data:
        return None
    load_size, resize = data["load_size"], data.get("resize", "stretch")
    if resize not in RESIZES or not (load_size is None or (type(load_size) is int and load_size > 0)):
        raise CheckpointError(f"{path}: its data.load_size is {load_size!r} and its data.resize {resize!r}, no scale")
    return Scale(load_size, resize)
