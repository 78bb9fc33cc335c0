"""The pretrained networks of an evaluation: those of the options, else those of the run."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from cyclegan.checkpoint.loading import build
from cyclegan.errors import InputError, WeightsError
from cyclegan.evaluate.checkpoints import EvaluatedCheckpoint
from cyclegan.metrics.feature_network import AnyNetwork, FeatureNetwork
from cyclegan.metrics.inception import Inception
from cyclegan.metrics.perceptual import Lpips
from cyclegan.metrics.random_features import RandomFeatures

OF_RUN: dict[str, type[Inception | RandomFeatures]] = {
    "cyclegan.metrics.inception.Inception": Inception,
    "cyclegan.metrics.random_features.RandomFeatures": RandomFeatures,
}
"""The feature networks that a checkpoint may choose."""


def load_networks(
    args: argparse.Namespace, checkpoints: Sequence[EvaluatedCheckpoint], device: str
) -> tuple[FeatureNetwork | None, Lpips | None]:
    """Return the feature network and that of LPIPS with their weights; None for those that are not wanted.

    Raises:
        WeightsError: weights are unavailable; names the files, and how to do without.
        InputError: an option names no network.
    """
    features, perceptual = _features(args, checkpoints), _perceptual(args, checkpoints)
    problems = []
    for network, hint in ((features, " --features random needs no weights."), (perceptual, "")):
        try:
            if network is not None:
                network.to(device).load()
        except WeightsError as error:
            problems.append(f"{error}{hint}")
    if problems:
        raise WeightsError("\n".join(["nothing was measured:", *problems]))
    return features, perceptual


def _features(args: argparse.Namespace, checkpoints: Sequence[EvaluatedCheckpoint]) -> FeatureNetwork | None:
    name, weights = args.features, args.feature_weights
    if weights is not None and name not in (None, "inception"):
        raise InputError(f"--feature-weights {weights} belong to --features inception, not {name}")
    if name is None and weights is None:
        own = _shared(checkpoints, "features") or {}
        if own.get("_target_") in OF_RUN:
            return OF_RUN[own["_target_"]](**_arguments(own))
    if name in (None, "inception"):
        return Inception(weights)
    if name in ("random", "none"):
        return RandomFeatures() if name == "random" else None
    return features_from(Path(name))


def _perceptual(args: argparse.Namespace, checkpoints: Sequence[EvaluatedCheckpoint]) -> Lpips | None:
    name, weights = args.perceptual, args.perceptual_weights
    if weights is not None and name == "none":
        raise InputError(f"--perceptual-weights {weights} belong to --perceptual alex, not none")
    if name is None and weights is None:
        own = _shared(checkpoints, "perceptual")
        return None if own is None else Lpips(**_arguments(own))
    return None if name == "none" else Lpips(weights)


def _shared(checkpoints: Sequence[EvaluatedCheckpoint], network: str) -> dict[str, Any] | None:
    """Return the configuration of a network in all checkpoints; None: none has it; empty: they differ."""
    found: list[dict[str, Any] | None] = [checkpoint.validation.get(network) for checkpoint in checkpoints]
    return found[0] if all(each == found[0] for each in found) else {}


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain arguments of a call: nested ones of a checkpoint would run code."""
    return {key: value for key, value in config.items() if key != "_target_" and isinstance(value, int | str)}


def features_from(file: Path) -> FeatureNetwork:
    """Build the feature network, or the nn.Module, that a YAML file describes as `_target_` and arguments.

    The file is trusted like code, and may be one of the configuration group `features`.

    Raises:
        InputError: the file is missing or no YAML.
        UserError: the call that it describes is not possible, or returns something else.
    """
    if not file.is_file():
        raise InputError(f"--features {file} is none of inception, random and none, and no YAML file")
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except YAMLError as error:
        raise InputError(f"--features {file} is no YAML: {error}") from error
    if isinstance(config, dict):
        config = build(config.get("features", config), "features", file)
    return config if isinstance(config, FeatureNetwork) else AnyNetwork(config, size=None)
