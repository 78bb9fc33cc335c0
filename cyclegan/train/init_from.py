"""init_from: initialise the networks of a new run with the weights of other checkpoints."""

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cyclegan.checkpoint.reading import checkpoint_file, read
from cyclegan.checkpoint.state_dicts import Weights, is_bare, misfits, of_network, renamed, shortened
from cyclegan.errors import RunError
from cyclegan.methods.translator import Translator

CheckpointPath = str | os.PathLike[str]


def initialise(model: Translator, source: CheckpointPath | Mapping[str, CheckpointPath]) -> list[str]:
    """Load the weights of earlier runs into the networks of a new run.

    Each network takes the tensors that have the names and shapes of its own; its other tensors keep their initial
    values. Uses the weights under `state_dict`, not their moving average (`ema`).

    Args:
        model: its networks are the children that have parameters.
        source: a checkpoint or a run's folder for all networks, or a mapping from networks to such paths:
            `{"gen_ab": "a.ckpt", "disc_b": "b.ckpt"}`. In a mapping, a file may also be a bare state dict, such as the
            CycleGAN authors' `latest_net_G_A.pth`.

    Returns:
        a line for each network: the tensors that it took, and those that did not fit.

    Raises:
        CheckpointError: a file cannot be read.
        RunError: a named network does not exist, or no tensor fits at all. The model is unchanged.
    """
    networks = {name: child for name, child in model.named_children() if next(child.parameters(), None) is not None}
    sources = dict(source) if isinstance(source, Mapping) else dict.fromkeys(networks, source)
    unknown = [name for name in sources if name not in networks]
    if unknown or not sources:
        named = ", ".join(unknown) or "no network"
        raise RunError(f"init_from names {named}; the networks of this model are {', '.join(networks)}")

    found = {path: _read(path) for path in dict.fromkeys(sources.values())}
    if not isinstance(source, Mapping) and is_bare(found[source]):
        raise RunError(f"{source} is a state dict of one network; name it: 'init_from={{gen_ab: {source}}}'")
    fitting: dict[str, Weights] = {}
    reports = dict.fromkeys(networks, "initial weights: init_from does not name it")
    for name, path in sources.items():
        own = networks[name].state_dict()
        weights, dropped = _weights_for(name, found[path], own, path)
        fits = fitting[name] = {key: t for key, t in weights.items() if key in own and t.shape == own[key].shape}
        taken = f"{len(fits)} of {len(own)} tensors"
        reports[name] = "; ".join(part for part in (taken, misfits(own, weights), dropped) if part)
    if not any(fitting.values()):
        raise RunError(
            f"no weight in {', '.join(map(str, found))} fits {', '.join(f'{n} ({reports[n]})' for n in sources)}. "
            "Give the generator and discriminator of the run that wrote it, as its config.yaml names them"
        )
    for name, weights in fitting.items():
        networks[name].load_state_dict(weights, strict=False)
    return [f"{name:8}  {report}" for name, report in reports.items()]


def _read(path: CheckpointPath) -> dict[str, Any]:
    """Read a checkpoint, or the bare state dict of an export."""
    checkpoint = read(checkpoint_file(path))
    weights: dict[str, Any] = checkpoint["state_dict"] if "export" in checkpoint else checkpoint
    return weights


def _weights_for(
    network: str, checkpoint: dict[str, Any], own: Mapping[str, Tensor], path: CheckpointPath
) -> tuple[Weights, str]:
    """Return a checkpoint's tensors for a network, by the network's own names, and a note on dropped ones."""
    if is_bare(checkpoint):
        return renamed(checkpoint, own)
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict):
        raise RunError(
            f"{path} has no entry state_dict, where checkpoints of cyclegan-train keep their weights, and is no bare "
            f"state dict: it holds {shortened(map(str, checkpoint))}"
        )
    return renamed(of_network(weights, network), own)
