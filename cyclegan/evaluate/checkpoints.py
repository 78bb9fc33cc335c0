"""The checkpoints to evaluate, and the runs that wrote them."""

import glob
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cyclegan.checkpoint.published import published
from cyclegan.checkpoint.reading import FOLDER, authors_files, checkpoint_file, read
from cyclegan.data.training_data import stored_state
from cyclegan.errors import CheckpointError, InputError
from cyclegan.images import CONVERSIONS

NAMES = ("epoch*.ckpt", "best.ckpt", "last.ckpt")
"""The checkpoints in a run's folder that a run does not delete; it deletes `images*.ckpt`."""


@dataclass(frozen=True)
class EvaluatedCheckpoint:
    """A checkpoint to evaluate."""

    path: Path
    sha256: str
    epoch: float
    images: int
    """Number of images of each domain seen in training; 0 for published weights, as `epoch`."""
    averaged: bool
    """Whether it holds averaged weights, which are then used for translating."""
    data: dict[str, Any]
    """The data module's configuration."""
    pixel_formats: dict[str, Any]
    """Storage format of each domain's training images, as plain values; empty in early versions."""
    validation: dict[str, Any]
    """The configuration of the validation callback; empty without one."""


def read_checkpoints(names: Sequence[str], direction: str | None = None) -> list[EvaluatedCheckpoint]:
    """Read checkpoints, run after run, each run in the order of training.

    Args:
        names: files, quoted patterns, folders of runs or of checkpoints, published weights. A file with several names
            or copies is read once.
        direction: of published weights; see `published`.

    Raises:
        InputError: a name matches no file.
        CheckpointError: a checkpoint cannot be read, or was not written by cyclegan-train.
    """
    found = []
    for sha256, path in find_checkpoints(names).items():
        checkpoint = read(path)
        if "config" not in checkpoint:
            found.append(_published(path, sha256, checkpoint, direction))
            continue
        try:
            found.append(_described(path, sha256, checkpoint))
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{path} cannot be evaluated: it lacks {error} of cyclegan-train") from error
    runs = [run_of(checkpoint.path) for checkpoint in found]
    return sorted(found, key=lambda checkpoint: (runs.index(run_of(checkpoint.path)), checkpoint.images))


def find_checkpoints(names: Sequence[str]) -> dict[str, Path]:
    """Return the checkpoints of names by the sha256 of the file; see `read_checkpoints`."""
    found: dict[str, Path] = {}
    for name in names:
        path = Path(name).expanduser()
        path = path if path.is_dir() else checkpoint_file(path)
        if authors_files(path):
            files = [path]
        elif path.is_dir():
            where = path / FOLDER if (path / FOLDER).is_dir() else path
            files = [file for pattern in NAMES for file in sorted(where.glob(pattern))]
        elif path.exists() or not glob.has_magic(name):
            files = [path]
        else:
            files = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
        if not files:
            what = "a folder without checkpoints" if path.is_dir() else "a pattern that matches no file"
            raise InputError(f"--checkpoint {name} is {what}; a run keeps its own in runs/NAME/checkpoints")
        for file in files:
            # Reading a missing file reports it, with the files nearby.
            found.setdefault(_sha256(file) if file.exists() else str(file), file)
    return found


def _sha256(file: Path) -> str:
    """Return the hash of a file, or of the hashes of a folder's files of the authors' code."""
    if parts := authors_files(file):
        return hashlib.sha256("".join(map(_sha256, parts.values())).encode()).hexdigest()
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _published(path: Path, sha256: str, checkpoint: dict[str, Any], direction: str | None) -> EvaluatedCheckpoint:
    """Describe an export, or published weights, which are measured at 256 × 256 pixels, as their authors do."""
    about = checkpoint.get("export")
    channels = about["channels"] if about else published(checkpoint, path, direction).channels
    domains = {domain: {"channels": count, "convert": list(CONVERSIONS)} for domain, count in channels.items()}
    data = {"domains": domains, "load_size": 256, "crop_size": 256} | ((about and about["scale"]) or {})
    formats = about["pixel_formats"] if about else {}
    return EvaluatedCheckpoint(path, sha256, 0.0, 0, averaged=False, data=data, pixel_formats=formats, validation={})


def _described(path: Path, sha256: str, checkpoint: Mapping[str, Any]) -> EvaluatedCheckpoint:
    config, state = checkpoint["config"], stored_state(checkpoint)
    images = state["position"]
    epoch = float(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    if "files" in state:  # else the length of an epoch is unknown
        epoch += (images - state.get("epoch_start", images)) / max(files["count"] for files in state["files"].values())
    return EvaluatedCheckpoint(
        path,
        sha256,
        epoch,
        images,
        averaged=bool(checkpoint.get("ema")),
        data=config["data"],
        pixel_formats=checkpoint.get("pixel_formats", {}),
        validation=(config.get("callbacks") or {}).get("validation") or {},
    )


def run_of(path: Path) -> Path:
    """Return the folder of a checkpoint's run.

    A file in another folder whose name is not one that runs give is a run of its own.
    """
    folder = path.parent.resolve()
    if folder.name == FOLDER:
        return folder.parent
    return folder if any(fnmatch(path.name, name) for name in (*NAMES, "images*.ckpt")) else folder / path.name


def labels(paths: Sequence[Path]) -> list[str]:
    """Return short names of checkpoints of several runs: `t1/last`, `sweep/1/epoch0010`."""
    common = os.path.commonpath([run_of(path) for path in paths])
    files = [run_of(path) if run_of(path).name == path.name else run_of(path) / path.name for path in paths]
    return [file.relative_to(common).as_posix().removesuffix(".ckpt") for file in files]


def output_for(checkpoints: Sequence[Path]) -> Path:
    """Return the default output folder: `evaluation` in the run's folder, or here for checkpoints of several runs."""
    folders = {path.resolve().parent for path in checkpoints}
    in_run = len(folders) == 1 and folders.pop().name == FOLDER
    return (checkpoints[0].parent.parent if in_run else Path()) / "evaluation"
