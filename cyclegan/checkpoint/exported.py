"""Exports of one direction: a safetensors file of weights, and a JSON file beside it of what they need."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cyclegan import __version__
from cyclegan.errors import CheckpointError, InputError, missing
from cyclegan.files import replacing, write_text
from cyclegan.images import PixelFormat
from cyclegan.methods.translator import Translator

FORMAT = "cyclegan-export 1"


def networks_of(translator: Translator, source: str, target: str) -> dict[str, nn.Module]:
    """Return the networks of a translator that translate in a direction, by attribute name."""
    used: list[nn.Module] = []
    hooks = [
        network.register_forward_pre_hook(lambda called, *_: used.append(called)) for network in translator.children()
    ]
    side = -(-translator.minimum_size // translator.size_multiple) * translator.size_multiple
    with torch.inference_mode():
        translator.translate(torch.zeros(1, translator.channels[source], side, side), source, target)
    for hook in hooks:
        hook.remove()
    return {name: network for name, network in translator.named_children() if network in used}


def weights_of(translator: Translator, source: str, target: str) -> dict[str, Tensor]:
    """Return the state dict of the generator of a direction, contiguous.

    Raises:
        InputError: the direction has several networks.
    """
    networks = networks_of(translator, source, target)
    if len(networks) != 1:
        raise InputError(
            f"{source}2{target} is translated by {' and '.join(networks)}, but an export of weights holds one network: "
            "choose --format onnx or torch.export"
        )
    (generator,) = networks.values()
    return {name: value.contiguous() for name, value in generator.state_dict().items()}


def description(translator: Translator, checkpoint: Mapping[str, Any], source: str, target: str) -> dict[str, Any]:
    """Return what a program needs to use the weights of a direction, as plain values.

    `generator` is the constructor call of the network; without one, it is recognised by its weights, see `published`.
    """
    config = checkpoint.get("config") or checkpoint.get("export") or {}
    generator = (config.get("model") or config).get("generator")
    channels = translator.channels
    colorizes = getattr(translator, "output", "image") == "ab"
    if generator is not None:
        counts = {"in_channels": channels[source], "out_channels": 2 if colorizes else channels[target]}
        generator = {key: value for key, value in generator.items() if key != "_partial_"} | counts
    crop_size = (config.get("data") or config.get("scale") or {}).get("crop_size")
    scale = translator.scale and translator.scale._asdict() | {"crop_size": crop_size}
    return {
        "format": FORMAT,
        "cyclegan": __version__,
        "method": config.get("method", type(translator).__name__),
        "direction": [source, target],
        "generator": generator,
        "output": getattr(translator, "output", "image"),
        "translate_in": getattr(translator, "translate_in", "eval"),
        "channels": {domain: channels[domain] for domain in (source, target)},
        "value_range": [-1, 1],
        "size_multiple": translator.size_multiple,
        "minimum_size": translator.minimum_size,
        "pixel_formats": {
            domain: asdict(translator.pixel_formats.get(domain, PixelFormat(channels[domain])))
            for domain in (source, target)
        },
        "scale": scale,
    }


def write_export(weights: Mapping[str, Tensor], about: Mapping[str, Any], path: Path) -> None:
    """Write weights to a safetensors file, and what they need to a JSON file of the same name.

    Raises:
        InputError: the package safetensors is not installed.
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise InputError(f"{path} needs {missing('safetensors')}") from error
    with replacing(path) as temporary:
        temporary.write_bytes(save(dict(weights), metadata={"format": "pt"}))  # its save_file lets no one else read it
    write_text(path.with_suffix(".json"), json.dumps(about, indent=2) + "\n")


def read_export(path: Path) -> dict[str, Any]:
    """Read a safetensors file: the bare state dict, or with a description beside it `export` and `state_dict`.

    Raises:
        CheckpointError: a file is damaged, or the package safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise CheckpointError(f"{path} needs {missing('safetensors')}") from error
    beside = path.with_suffix(".json")
    try:
        weights = load_file(path)
        about = json.loads(beside.read_text()) if beside.is_file() else None
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or is no safetensors file: {error}") from error
    except ValueError as error:
        raise CheckpointError(f"{beside} is damaged: {error}") from error
    return {"export": about, "state_dict": weights} if is_description(about) else weights


def is_description(about: Any) -> bool:
    """Return whether the content of a JSON file is that of an export."""
    return isinstance(about, dict) and about.get("format") == FORMAT
