"""Checkpoints: plain files that carry their own configuration, read without running code."""

import importlib
import inspect
import logging
import os
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any

import hydra.utils
import torch
from hydra.errors import InstantiationException
from torch import nn

from cyclegan import __version__
from cyclegan.checkpoint.reading import checkpoint_file, read
from cyclegan.checkpoint.state_dicts import Weights, is_bare, misfits, renamed, shortened, unwrapped
from cyclegan.data.sizes import RESIZES, Scale
from cyclegan.errors import CheckpointError, UserError
from cyclegan.images import CONVERSIONS, PixelFormat
from cyclegan.methods.single_generator import SingleGenerator
from cyclegan.methods.translator import Translator
from cyclegan.networks.resnet import ResnetGenerator, resnet_arguments

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


def load_translator(path: str | os.PathLike[str], trust: Iterable[str] = ()) -> Translator:
    """Rebuilds the translator of a run from a checkpoint alone, on the CPU, in eval mode.

    Where the run kept an average of the generators' weights (`callbacks=ema`), the average is used. Global random
    numbers are left as they were.

    Args:
        path: a file that `cyclegan-train` wrote, or the folder of a run; see `checkpoint_file`. Also the bare state
            dict of one ResNet generator in the authors' layout, which translates A into B.
        trust: packages besides this one whose classes the checkpoint's configuration may name.

    Raises:
        CheckpointError: the file cannot be used; see `read`, it names code outside the allow-list or code that is
            not there, or its weights do not fit.
    """
    path = checkpoint_file(path)
    checkpoint = read(path)
    whole = checkpoint.get("config")
    config = whole.get("model") if isinstance(whole, dict) else None
    if config is None:
        if is_bare(checkpoint):
            return _single_generator(checkpoint, path)
        raise CheckpointError(
            f"{path} carries no configuration (found: {shortened(map(str, checkpoint))}); checkpoints written by "
            "cyclegan-train can be loaded, and state dicts of single ResNet generators"
        )
    require_trusted(config, path, tuple(trust))
    with torch.random.fork_rng(devices=[]):  # networks draw weights before they are given others
        translator = build(config, "model", path)
    if not isinstance(translator, Translator):
        raise CheckpointError(f"{path} describes a {type(translator).__name__}, which is no Translator")
    _give(translator, checkpoint.get("state_dict"), path)
    for name, weights in checkpoint.get("ema", {}).items():
        _give(translator.generators()[name], weights, path)
    translator.pixel_formats = {
        domain: _pixel_format(
            checkpoint.get("pixel_formats", checkpoint.get("pictures", {})).get(domain, {}), channels, path
        )
        for domain, channels in translator.channels.items()
    }
    translator.scale = _scale(checkpoint["config"].get("data"), path)
    return translator.eval()


def _single_generator(weights: Weights, path: str | os.PathLike[str]) -> Translator:
    arguments = resnet_arguments(unwrapped(weights))
    if arguments is None:
        raise CheckpointError(
            f"{path} is a state dict (found: {shortened(weights)}), but of no ResNet generator of the authors. A "
            f"run can begin with it: 'init_from={{gen_ab: {path}}}'"
        )
    with torch.random.fork_rng(devices=[]):
        generator = ResnetGenerator(**arguments)
    own, _ = renamed(weights, generator.state_dict())
    _give(generator, own, path)
    return SingleGenerator(generator, arguments["in_channels"], arguments["out_channels"]).eval()


def build(config: Any, key: str, path: str | os.PathLike[str]) -> Any:
    """Calls what a trusted configuration describes.

    Args:
        config: of the checkpoint; see `require_trusted`.
        key: its place in the configuration, for messages.
        path: the checkpoint.

    Raises:
        CheckpointError: it names something that is not there, or an argument that is not taken, in this environment.
    """
    for place, call in _calls(config, key):
        target = call["_target_"]
        try:
            found = pkgutil.resolve_name(target)
        except (ImportError, AttributeError) as error:
            raise CheckpointError(
                f"{path} calls {target} ({place}), which cannot be imported here: {error}. Install the package, or put "
                "its folder on PYTHONPATH"
            ) from error
        arguments = {name: value for name, value in call.items() if not name.startswith("_")}
        try:
            signature = inspect.signature(found)
            (signature.bind_partial if call.get("_partial_") else signature.bind)(**arguments)
        except TypeError as error:
            raise CheckpointError(
                f"{path} was written by another version: it calls {target} ({place}), which here, with cyclegan "
                f"{__version__}, {error}"
            ) from error
    try:
        return hydra.utils.instantiate(config, _convert_="all")
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError):
            cause = cause.__cause__
        if cause is None:  # a bug, whose traceback is wanted
            raise
        raise CheckpointError(f"{path} cannot be used here: {cause}") from error


def _calls(value: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every call in a configuration, with the dotted name of its place."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield key, value
        for name, entry in value.items():
            yield from _calls(entry, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _calls(entry, f"{key}.{index}")


def _give(network: nn.Module, weights: Any, path: str | os.PathLike[str]) -> None:
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path} holds no weights: its entry state_dict is missing or no dictionary")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the networks that its configuration describes: "
            f"{misfits(network.state_dict(), weights)}"
        ) from error


def _pixel_format(entry: dict[str, Any], channels: int, path: str | os.PathLike[str]) -> PixelFormat:
    """Of an entry of a checkpoint; without one, as before there were entries: 8 bits, whatever is lost on the way."""
    if not entry:
        return PixelFormat(channels, "uint8", convert=CONVERSIONS)
    try:
        values, convert = entry["range"], tuple(entry["convert"])
        found = PixelFormat(**entry | {"range": None if values is None else tuple(values), "convert": convert})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: what it says of its images cannot be used ({error}): {entry}") from error
    if found.channels != channels:
        raise CheckpointError(f"{path} contradicts itself: images of {found.channels} channels, networks of {channels}")
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
                f"{path} was not loaded: its configuration calls {value!r} ({key}), which is not part of cyclegan "
                f"{__version__}. If you know who made the file, and that code, pass --trust {value.split('.')[0]}"
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
