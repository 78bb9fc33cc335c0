"""Recognise published weights: generators without a configuration, by the names and shapes of their tensors."""

import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cyclegan.checkpoint.state_dicts import Weights, canonical, is_bare, misfits, of_network, renamed, shortened
from cyclegan.errors import CheckpointError, UserError
from cyclegan.methods.trained_generators import TrainedGenerators
from cyclegan.networks.antialiased import (
    AntialiasedPatchDiscriminator,
    AntialiasedResnetGenerator,
    antialiased_arguments,
)
from cyclegan.networks.discogan import DiscoGenerator, disco_arguments
from cyclegan.networks.dualgan import DualGenerator, dual_arguments
from cyclegan.networks.encoder_decoder import EncoderDecoder, encoder_decoder_arguments
from cyclegan.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from cyclegan.networks.resnet import ResnetGenerator, resnet_arguments
from cyclegan.networks.strided import StridedDiscriminator
from cyclegan.networks.unet import UnetGenerator, unet_arguments

log = logging.getLogger(__name__)

GENERATORS: tuple[tuple[Callable[..., nn.Module], Callable[[Weights], dict[str, Any]]], ...] = (
    (ResnetGenerator, resnet_arguments),  # CycleGAN, PyTorch-GAN
    (AntialiasedResnetGenerator, antialiased_arguments),  # CUT, FastCUT
    (UnetGenerator, unet_arguments),  # pix2pix
    (EncoderDecoder, encoder_decoder_arguments),
    (DiscoGenerator, disco_arguments),
    (DualGenerator, dual_arguments),
)
DISCRIMINATORS = (PatchDiscriminator, PixelDiscriminator, StridedDiscriminator, AntialiasedPatchDiscriminator)
DIRECTIONS = {"gen_ab": ("A", "B"), "gen_ba": ("B", "A")}


def published(checkpoint: dict[str, Any], path: os.PathLike[str], direction: str | None = None) -> TrainedGenerators:
    """Build the translator of weights without a configuration.

    Args:
        checkpoint: the bare state dict of a generator in a layout of `GENERATORS`, or a translator's with names that
            begin with `gen_ab`, `gen_ba`, or `gen` of one direction; see `read`.
        path: its file, for messages.
        direction: "A2B" or "B2A" of a single generator; None: A2B.

    Raises:
        CheckpointError: there is no such generator, or two have channels that contradict each other.
    """
    state = checkpoint if is_bare(checkpoint) else checkpoint.get("state_dict")
    if not isinstance(state, dict) or not is_bare(state):
        raise CheckpointError(
            f"{path} carries no configuration (found: {shortened(map(str, checkpoint))}); checkpoints written by "
            "cyclegan-train can be loaded, and state dicts of generators"
        )
    networks = {way: weights for name, way in DIRECTIONS.items() if (weights := of_network(state, name))}
    if not networks:
        networks = {("B", "A") if direction == "B2A" else ("A", "B"): of_network(state, "gen") or state}
    generators, channels = {}, dict[str, int]()
    for way, weights in networks.items():
        generators[way], arguments = recognised(weights, path)
        for domain, count in zip(way, (arguments["in_channels"], arguments["out_channels"]), strict=True):
            if channels.setdefault(domain, count) != count:
                raise CheckpointError(
                    f"{path}: its generators have {channels[domain]} and {count} channels of {domain}"
                )
    return TrainedGenerators(generators, channels)


def recognised(weights: Weights, path: os.PathLike[str]) -> tuple[nn.Module, dict[str, Any]]:
    """Return the generator with these weights, and the arguments that it was built with; see `published`."""
    known = {canonical(name): value for name, value in weights.items()}
    near: list[tuple[int, str]] = []
    for network, read_arguments in GENERATORS:
        try:
            arguments = read_arguments(known)
            with torch.device("meta"):  # without initial weights
                built = network(**arguments)
        except (LookupError, UserError):
            continue
        fitting, note = renamed(weights, built.state_dict())
        try:
            built.load_state_dict({name: _as_float32(value) for name, value in fitting.items()}, assign=True)
        except RuntimeError:
            own = built.state_dict()
            near.append((len(own.keys() ^ fitting.keys()), f"{type(built).__name__}: {misfits(own, fitting)}"))
            continue
        if note:
            log.warning("%s: %s", path, note)
        return built, arguments
    raise CheckpointError(_unknown(known, near, path))


def _as_float32(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _unknown(weights: Weights, near: list[tuple[int, str]], path: os.PathLike[str]) -> str:
    """Return the message for a state dict that no generator has: what it holds, what is known, what is nearest."""
    found = shortened(f"{name} {tuple(value.shape)}" for name, value in weights.items())
    message = (
        f"{path} is a state dict of no known generator. Found: {found}. Known are "
        f"{', '.join(network.__name__ for network, _ in GENERATORS)}, in the layouts of the authors of CycleGAN, "
        "pix2pix, CUT and DiscoGAN, of PyTorch-GAN, and of this package"
    )
    if near:
        return f"{message}. The nearest is {min(near)[1]}"
    shared = {}
    with torch.device("meta"):
        for network in DISCRIMINATORS:
            own = network().state_dict()
            shared[network.__name__] = len(own.keys() & weights.keys()) / len(own.keys() | weights.keys())
    name = max(shared, key=lambda name: shared[name])
    if shared[name] > 0.5:
        return f"{message}. The nearest is {name}, a discriminator: 'init_from={{disc_b: {path}}}' begins a run with it"
    return f"{message}. None is near"
