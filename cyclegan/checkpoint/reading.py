"""Find checkpoints and read them without running code."""

import logging
import os
import re
from pathlib import Path
from typing import Any

import torch

from cyclegan.checkpoint import hub
from cyclegan.checkpoint.exported import read_export
from cyclegan.checkpoint.targets import with_present_names
from cyclegan.datasets.weights import WEIGHTS, weights_cache
from cyclegan.errors import CheckpointError
from cyclegan.files import damage
from cyclegan.metrics.pretrained import UNREADABLE

log = logging.getLogger(__name__)

FOLDER = "checkpoints"
"""Folder of the checkpoints, in the folder of a run."""


AUTHORS_FILES = {
    "gen_ab": "latest_net_G_A.pth",
    "gen_ba": "latest_net_G_B.pth",
    "disc_a": "latest_net_D_B.pth",  # the authors name a discriminator for the generator that it trains
    "disc_b": "latest_net_D_A.pth",
    "gen": "latest_net_G.pth",
    "disc": "latest_net_D.pth",
}
"""The files of a run of the authors' code of CycleGAN, pix2pix and CUT, by the names of the networks here."""


def checkpoint_file(path: str | os.PathLike[str], direction: str | None = None) -> Path:
    """Return a file's own path; for a run's folder, its `best.ckpt`, else its newest checkpoint.

    A name without such a file or folder stands for the downloaded weights of this name. `hf://USER/MODEL` is downloaded
    from the Hugging Face Hub, see `cyclegan.checkpoint.hub.download`.
    """
    if str(path).startswith(hub.PREFIX):
        return hub.download(str(path), direction)
    file = Path(path).expanduser()
    if not file.is_dir():
        cached = weights_cache() / f"{file.name}.pth"
        return cached if file.name == str(path) and not file.exists() and cached.is_file() else file
    folder = file / FOLDER if (file / FOLDER).is_dir() else file
    best = folder / "best.ckpt"
    return best if best.is_file() else next(iter(by_age(folder)), file)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, tensors and plain Python values only.

    Names of earlier versions of this package are replaced by the present ones. Of a folder that the authors' code
    wrote, the networks are read into one `state_dict`.

    Raises:
        CheckpointError: the file does not exist, is damaged, or holds objects whose reading would run code.
    """
    file = Path(path)
    if networks := authors_files(file):
        found = {network: read(part) for network, part in networks.items()}
        return {
            "state_dict": {f"{network}.{name}": value for network in found for name, value in found[network].items()}
        }
    if not file.is_file():
        raise CheckpointError(f"no checkpoint at {file}{_others_nearby(file)}")
    if file.suffix == ".safetensors":
        return read_export(file)
    try:
        # Files of torch.save before torch 1.6, such as the CycleGAN authors' generators, are no zip archives.
        with file.open("rb") as opened:
            problem = damage(file) if opened.read(2) == b"PK" else None
        checkpoint = None if problem else torch.load(file, map_location="cpu", weights_only=True)
    except (*UNREADABLE, OSError) as error:
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{file} was not read: it holds {refused[1]}, and reading more than tensors and plain values could run "
                "code of whoever made the file"
            ) from None  # torch's own text advises to read it with weights_only=False
        problem = f"torch cannot read its {file.stat().st_size} bytes"
    if problem:
        raise CheckpointError(
            f"{file} is damaged or is no checkpoint: {problem}. Take an earlier one from the same folder."
        )
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{file} holds a {type(checkpoint).__name__}, not a checkpoint of cyclegan-train")
    return _upgraded(checkpoint)


def authors_files(folder: Path) -> dict[str, Path]:
    """Return the files of `AUTHORS_FILES` in a folder, by network; none for a file."""
    return {network: folder / name for network, name in AUTHORS_FILES.items() if (folder / name).is_file()}


def _upgraded(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Replace the names of earlier versions in a checkpoint."""
    if "config" in checkpoint:
        checkpoint["config"] = with_present_names(checkpoint["config"])
    if "pictures" in checkpoint:
        checkpoint["pixel_formats"] = checkpoint.pop("pictures")
    callbacks = checkpoint.get("callbacks")
    for state in callbacks.values() if isinstance(callbacks, dict) else ():
        best = state.get("best") if isinstance(state, dict) else None
        if isinstance(best, dict) and "figure" in best:
            best["metric"] = best.pop("figure")
    return checkpoint


def newest_intact(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return a run's newest intact checkpoint and its content, None without any checkpoint; log the skipped ones.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    reasons = []
    for path in by_age(folder):
        try:
            found = read(path)
        except CheckpointError as error:
            reasons.append(f"\n  {error}")
            log.info("resume    skipped: %s", error)
        else:
            return path, found
    if reasons:
        raise CheckpointError(
            f"none of the {len(reasons)} checkpoints in {folder} can be read. Restore one from a backup, or start "
            f"again from nothing (overwrite=true).{''.join(reasons)}"
        )
    return None


def by_age(folder: Path) -> list[Path]:
    """List the checkpoints of a run, newest first; of a file with several names, only the first."""
    epochs = sorted(folder.glob("epoch*.ckpt"), key=_number, reverse=True)
    found: dict[int, Path] = {}
    for path in (folder / "last.ckpt", *rolling(folder), *epochs):
        if path.is_file():
            found.setdefault(path.stat().st_ino, path)
    return list(found.values())


def rolling(folder: Path) -> list[Path]:
    """List the checkpoints that are named by images seen, newest first."""
    return sorted(folder.glob("images*.ckpt"), key=_number, reverse=True)


def _number(path: Path) -> int:
    digits = re.search(r"\d+", path.name)  # epoch0010.ckpt, or epoch=0010.ckpt of earlier versions
    return int(digits[0]) if digits else -1


def _others_nearby(file: Path) -> str:
    if file.stem in WEIGHTS:
        return f"; after cyclegan-weights download {file.stem}, --checkpoint {file.stem} finds the published weights"
    found = sorted(file.parent.glob("*.ckpt")) or sorted(file.glob("**/*.ckpt"))
    return f"; there are {', '.join(str(p) for p in found[-5:])}" if found else ""
