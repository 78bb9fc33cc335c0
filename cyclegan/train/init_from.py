"""The weights of others as the beginning of a new run."""

import os
from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from cyclegan.checkpoint.reading import checkpoint_file, read
from cyclegan.checkpoint.state_dicts import Weights, is_bare, misfits, renamed, shortened
from cyclegan.errors import RunError
from cyclegan.methods.translator import Translator

CheckpointPath = str | os.PathLike[str]


def initialise(model: Translator, source: CheckpointPath | Mapping[str, CheckpointPath]) -> list[str]:
    """Gives the networks of a new run the weights of earlier ones, and nothing else of theirs.

    Each network takes by itself those tensors that have its own tensors' names and shapes; what is left stays as it
    was drawn. The weights are the trained ones under `state_dict`, also where the checkpoint holds an average of
    them under `ema`: the average belongs to the end of a run, and the optimiser's steps to the weights themselves.

    Args:
        model: its networks are the children that have parameters.
        source: a checkpoint for all networks, or one for each network that is to have one:
            `{"gen_ab": "a.ckpt", "disc_b": "b.ckpt"}`. A run's folder stands for its `best.ckpt`, else its newest.
            A network that is named may also have a bare state dict, such as the authors' `latest_net_G_A.pth`.

    Returns:
        a line for each network, which says what it took and what did not fit.

    Raises:
        CheckpointError: a file cannot be read.
        RunError: a network is named that there is not, or no tensor fits at all. The model is as before then.
    """
    networks = {name: child for name, child in model.named_children() if next(child.parameters(), None) is not None}
    sources = dict(source) if isinstance(source, Mapping) else dict.fromkeys(networks, source)
    unknown = [name for name in sources if name not in networks]
    if unknown or not sources:
        named = ", ".join(unknown) or "no network"
        raise RunError(f"init_from names {named}; the networks of this model are {', '.join(networks)}")

    found = {path: _read(path) for path in dict.fromkeys(sources.values())}
    bare = {path for path, weights in found.items() if not any(_below(name, weights) for name in networks)}
    if bare and not isinstance(source, Mapping):
        raise RunError(
            f"{source} holds {_summary(found[source])}, nothing of {', '.join(networks)}. If it is a state dict of one "
            f"network, say of which: 'init_from={{gen_ab: {source}}}'"
        )
    fitting: dict[str, Weights] = {}
    reports = dict.fromkeys(networks, "left as drawn: init_from does not name it")
    for name, path in sources.items():
        own = networks[name].state_dict()
        weights, dropped = renamed(found[path], own) if path in bare else (_below(name, found[path]), "")
        fits = fitting[name] = {key: t for key, t in weights.items() if key in own and t.shape == own[key].shape}
        taken = f"{'all' if len(fits) == len(own) else f'{len(fits)} of'} {len(own)} tensors" if fits else ""
        report = "; ".join(part for part in (taken, misfits(own, weights), dropped) if part)
        reports[name] = report if fits else f"left as drawn: {report}"
    if not any(fitting.values()):
        held = "; ".join(f"{path} holds {_summary(weights)}" for path, weights in found.items())
        first = next(iter(sources))
        raise RunError(
            f"no weight that init_from names fits {', '.join(sources)}: {held}; {first} is {reports[first]}. "
            "Give the generator and discriminator of the run that wrote it, as its config.yaml names them"
        )
    for name, weights in fitting.items():
        networks[name].load_state_dict(weights, strict=False)
    width = max(10, *(len(name) + 2 for name in networks))
    return [f"{name:{width}}{report}" for name, report in reports.items()]


def _read(path: CheckpointPath) -> Weights:
    """The tensors of a checkpoint, or of a bare state dict."""
    checkpoint = read(checkpoint_file(path))
    weights = checkpoint.get("state_dict")
    if weights is None and is_bare(checkpoint):
        weights = checkpoint
    if not isinstance(weights, dict):
        raise RunError(
            f"{path} has no entry state_dict, where checkpoints of cyclegan-train keep their weights, and is no bare "
            f"state dict: it holds {shortened(map(str, checkpoint))}"
        )
    return {str(name): value for name, value in weights.items() if isinstance(value, Tensor)}


def _below(network: str, weights: Weights) -> Weights:
    prefix = f"{network}."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _summary(weights: Weights) -> str:
    counts = Counter(name.partition(".")[0] for name in weights)
    return shortened([f"{network} ({count} tensors)" for network, count in counts.items()], 6) or "no tensor"
