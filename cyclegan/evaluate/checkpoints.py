"""The checkpoints to evaluate: their files, their runs, and the settings that evaluating them needs."""

import glob
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cyclegan.checkpoint.reading import FOLDER, read
from cyclegan.data.training_data import stored_state
from cyclegan.errors import CheckpointError, DataError, InputError
from cyclegan.evaluate.run_data import DataSettings, settings_of

NAMES = ("epoch*.ckpt", "best.ckpt", "last.ckpt")
"""The checkpoints in a run's folder that a run does not delete; it deletes `images*.ckpt`."""

OWN_FEATURES = {
    "cyclegan.metrics.inception.Inception": ("weights",),
    "cyclegan.metrics.random_features.RandomFeatures": ("seed", "size"),
}
"""The feature networks that a checkpoint may choose, with the arguments that it may give."""

OWN_PERCEPTUAL = ("cyclegan.metrics.perceptual.Lpips", ("weights", "net"))


@dataclass(frozen=True)
class EvaluatedCheckpoint:
    """A checkpoint to evaluate."""

    path: Path
    sha256: str
    epoch: float
    images: int
    """Number of images of each domain seen in training."""
    averaged: bool
    """Whether it holds averaged weights, which are then the ones that translate."""
    config: dict[str, Any]
    """The data module's configuration."""
    settings: DataSettings | None
    """The same configuration as settings of ImageDataModule; None if it is of another kind of data module."""
    features: tuple[str, dict[str, Any]] | None
    """Class and arguments of the run's feature network, if it is one of OWN_FEATURES."""
    perceptual: dict[str, str] | None
    """Arguments of the run's LPIPS; None: the run measured none."""


def read_checkpoints(names: Sequence[str]) -> list[EvaluatedCheckpoint]:
    """Read checkpoints, run after run, each run in the order of training.

    Args:
        names: files, quoted patterns, folders of runs or of checkpoints. A file with several names or copies is read
            once.

    Raises:
        InputError: a name matches no file.
        CheckpointError: a checkpoint cannot be read, or lacks what evaluating it needs.
    """
    found: list[EvaluatedCheckpoint] = []
    for sha256, path in find_checkpoints(names).items():
        try:
            found.append(_described(path, sha256, read(path)))
        except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, CheckpointError):
                raise
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(
                f"{path} cannot be evaluated: {what}. Checkpoints written by cyclegan-train can"
            ) from error
    runs = in_order([checkpoint.path for checkpoint in found])
    return sorted(found, key=lambda checkpoint: (runs.index(run_of(checkpoint.path)), checkpoint.images))


def find_checkpoints(names: Sequence[str]) -> dict[str, Path]:
    """Return the checkpoints of names by the sha256 of the file; see `read_checkpoints`."""
    found: dict[str, Path] = {}
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            where = path / FOLDER if (path / FOLDER).is_dir() else path
            files = [file for pattern in NAMES for file in sorted(where.glob(pattern)) if file.is_file()]
        elif path.is_file() or not glob.has_magic(name):
            files = [path]  # if it is missing, reading names the files nearby
        else:
            files = [Path(file) for file in sorted(glob.glob(str(path), recursive=True)) if Path(file).is_file()]  # noqa: PTH207
        if not files:
            what = "a folder without checkpoints" if path.is_dir() else "a pattern that matches no file"
            raise InputError(f"--checkpoint {name} is {what}; a run keeps its own in runs/NAME/checkpoints")
        for file in files:
            found.setdefault(_sha256(file), file)
    return found


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return str(file)  # reading it reports the error


def _described(path: Path, sha256: str, checkpoint: Mapping[str, Any]) -> EvaluatedCheckpoint:
    config: dict[str, Any] = checkpoint["config"]
    state: dict[str, Any] = stored_state(checkpoint)
    if not isinstance(config["data"], dict) or not isinstance(state, dict):
        raise DataError("it has no data configuration or no state of the data module")
    position = int(state["position"])
    epoch = float(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    images, begun = position, int(state.get("epoch_start", position))
    if images > begun and "files" in state:  # in the middle of an epoch
        epoch += (images - begun) / max(int(files["count"]) for files in state["files"].values())
    formats = checkpoint.get("pixel_formats", checkpoint.get("pictures", {}))
    validation = (config.get("callbacks") or {}).get("validation") or {}
    return EvaluatedCheckpoint(
        path,
        sha256,
        epoch,
        images,
        bool(checkpoint.get("ema")),
        config["data"],
        settings_of(config["data"], formats),
        _own_features(validation),
        _own_perceptual(validation),
    )


def _own_features(validation: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    entry = validation.get("features")
    if not isinstance(entry, dict) or entry.get("_target_") not in OWN_FEATURES:
        return None
    names = OWN_FEATURES[entry["_target_"]]
    return entry["_target_"], {name: entry[name] for name in names if isinstance(entry.get(name), int | str)}


def _own_perceptual(validation: Mapping[str, Any]) -> dict[str, str] | None:
    entry = validation.get("perceptual")
    if entry is None:
        return None
    target, names = OWN_PERCEPTUAL
    if not isinstance(entry, dict) or entry.get("_target_") != target:
        return {}
    return {name: entry[name] for name in names if isinstance(entry.get(name), str)}


def run_of(path: Path) -> Path:
    """Return the folder of a checkpoint's run.

    A file in another folder whose name is not one that runs give is a run of its own.
    """
    folder = path.parent.resolve()
    if folder.name == FOLDER:
        return folder.parent
    return folder if any(fnmatch(path.name, name) for name in (*NAMES, "images*.ckpt")) else folder / path.name


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Return the runs of checkpoints in the order of the checkpoints, each run once."""
    return list(dict.fromkeys(map(run_of, paths)))


def labels(paths: Sequence[Path]) -> list[str]:
    """Return short names of checkpoints of several runs: `t1/last`, `sweep/1/epoch0010`."""
    runs = [run_of(path) for path in paths]
    shared = 0
    for names in zip(*(run.parts for run in runs), strict=False):
        if len(set(names)) > 1:
            break
        shared += 1
    found = []
    for path, run in zip(paths, runs, strict=True):
        parts = [*run.parts[shared:], *([] if run.name == path.name else [path.name])]
        found.append("/".join(parts).removesuffix(".ckpt"))
    return found


def output_for(checkpoints: Sequence[Path]) -> Path:
    """Return the default output folder: `evaluation` in the run's folder, or here for checkpoints of several runs."""
    folders = {path.resolve().parent for path in checkpoints}
    in_run = len(folders) == 1 and next(iter(folders)).name == FOLDER
    return (checkpoints[0].parent.parent if in_run else Path()) / "evaluation"
