"""The weights of others as the beginning of a new run."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from cyclegan.checkpoint import read
from cyclegan.methods.translator import Translator
from cyclegan.run_folder import RunError

CheckpointPath = str | os.PathLike[str]


def initialise(model: Translator, source: CheckpointPath | Mapping[str, CheckpointPath]) -> list[str]:
    """Gives the networks of a new run the weights of earlier ones, and nothing else of theirs.

    Each network takes by itself those tensors that have its own tensors' names and shapes; what is left stays as it
    was drawn. The weights are the trained ones under `state_dict`, also where the checkpoint holds an average of
    them under `ema`: the average belongs to the end of a run, and the optimiser's steps to the weights themselves.

    Args:
        model: its networks are the children that have parameters.
        source: a checkpoint for all networks, or one for each network that is to have one:
            `{"gen_ab": "a.ckpt", "disc_b": "b.ckpt"}`.

    Returns:
        a line for each network, which says what it took and what did not fit.

    Raises:
        CheckpointError: a file cannot be read.
        RunError: a network is named that there is not, or no tensor fits at all. The model is as before then.
    """
    networks = {name: child.state_dict() for name, child in model.named_children() if _has_parameters(child)}
    sources = dict(source) if isinstance(source, Mapping) else dict.fromkeys(networks, source)
    unknown = [name for name in sources if name not in networks]
    if unknown or not sources:
        named = ", ".join(unknown) or "no network"
        raise RunError(f"init_from names {named}; the networks of this model are {', '.join(networks)}")
    found = {path: _weights(path) for path in dict.fromkeys(sources.values())}
    matches = {
        name: Match(own, _below(name, found[sources[name]])) for name, own in networks.items() if name in sources
    }
    if not any(match.fitting for match in matches.values()):
        raise RunError(_nothing_fits(matches, sources, found))

    width = max(10, *(len(name) + 2 for name in networks))
    lines = []
    for name in networks:
        report = "left as drawn: init_from does not name it"
        if name in matches:
            matches[name].take()
            report = matches[name].report()
        lines.append(f"{name:{width}}{report}")
    return lines


class Match:
    """The tensors of a network beside those that a checkpoint has for it.

    Args:
        own: the network's state, whose tensors share their memory with the network.
        others: the checkpoint's tensors, by the same names.
    """

    def __init__(self, own: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> None:
        self.own = own
        self.others = others
        self.missing = [name for name in own if name not in others]
        self.unexpected = [name for name in others if name not in own]
        shared = [name for name in own if name in others]
        self.fitting = [name for name in shared if own[name].shape == others[name].shape]
        self.misshapen = [
            f"{name} {tuple(own[name].shape)} here, {tuple(others[name].shape)} there"
            for name in shared
            if own[name].shape != others[name].shape
        ]

    @torch.no_grad()
    def take(self) -> None:
        """Copies what fits into the network."""
        for name in self.fitting:
            self.own[name].copy_(self.others[name])

    def report(self) -> str:
        """What was taken and what was not, in a line."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.misshapen}
        rest = "; ".join(f"{len(names)} {kind} ({_shortened(names)})" for kind, names in kinds.items() if names)
        if not self.fitting:
            return f"left as drawn: {rest}"
        count = len(self.own)
        taken = f"all {count} tensors" if len(self.fitting) == count else f"{len(self.fitting)} of {count} tensors"
        return f"{taken}; {rest}" if rest else taken


def _has_parameters(module: torch.nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _weights(path: CheckpointPath) -> dict[str, Tensor]:
    checkpoint = read(path)
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict):
        raise RunError(
            f"{path} has no entry state_dict, where checkpoints of cyclegan-train keep their weights; "
            f"it holds {_shortened(map(str, checkpoint)) or 'nothing'}"
        )
    return {str(name): value for name, value in weights.items() if isinstance(value, Tensor)}


def _below(network: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{network}."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _nothing_fits(
    matches: Mapping[str, Match], sources: Mapping[str, CheckpointPath], found: Mapping[CheckpointPath, Any]
) -> str:
    lines = []
    for path, weights in found.items():
        held: dict[str, int] = {}
        for name in weights:
            network = name.partition(".")[0]
            held[network] = held.get(network, 0) + 1
        counts = [f"{network} ({count} tensors)" for network, count in held.items()]
        lines.append(f"{path} holds {_shortened(counts, 6) or 'no tensor'}")
    misshapen = [f"{name}.{first}" for name, match in matches.items() for first in match.misshapen[:1]]
    if misshapen:
        lines.append(f"the first of another shape: {misshapen[0]}")
    return (
        f"no weight that init_from names fits {', '.join(sources)}: {'; '.join(lines)}. "
        "Give the generator and discriminator of the run that wrote it, as its config.yaml names them"
    )


def _shortened(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = f", … {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
