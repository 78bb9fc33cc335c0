"""What is to be measured: checkpoints, and how images were shown to them. Plain values; nothing is called."""

import glob
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any

from cyclegan.checkpoint.reading import FOLDER
from cyclegan.data.domain import Domain
from cyclegan.data.held_out import HeldOut, find_held_out
from cyclegan.data.training_data import STATE_KEY, stored_state
from cyclegan.data.transforms import TrainingView
from cyclegan.errors import DataError, InputError
from cyclegan.evaluate.runs import NAMES
from cyclegan.images import MAX_PIXELS, PixelFormat

ON_ERROR = ("raise", "skip")

OWN_FEATURES = {
    "cyclegan.metrics.inception.Inception": ("weights",),
    "cyclegan.metrics.random_features.RandomFeatures": ("seed", "size"),
}
"""The feature networks that a checkpoint may choose, and which of their arguments."""

OWN_PERCEPTUAL = ("cyclegan.metrics.perceptual.Lpips", ("weights", "net"))


@dataclass(frozen=True)
class Sight:
    """How a run saw images, as far as showing them again needs it. Paths are as the run had them."""

    root: str | None
    domains: dict[str, Domain]
    pixel_formats: dict[str, PixelFormat]
    view: TrainingView
    max_pixels: int
    on_error: str
    val_share: float
    max_images: int | None
    reducing_gap: float | None
    pairing: str


@dataclass(frozen=True)
class Subject:
    """A checkpoint to measure."""

    path: Path
    sha256: str
    epoch: float
    images: int
    """Of each domain, that its weights have seen."""
    averaged: bool
    """Whether it holds averaged weights, which are what translates."""
    sight: Sight
    features: tuple[str, dict[str, Any]] | None
    """Class and arguments of the feature network that its run measured with, if it is one of this package's."""
    perceptual: dict[str, str] | None
    """Arguments of the LPIPS that its run measured with; None: of none."""


def find_checkpoints(names: Sequence[str]) -> dict[str, Path]:
    """The checkpoints that are meant, by the sha256 of the file: one that has several names, or copies, stands once.

    Args:
        names: files, quoted patterns, run folders, folders of checkpoints.

    Raises:
        InputError: one of the names stands for nothing.
    """
    found: dict[str, Path] = {}
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            files = _in_folder(path)
        elif path.is_file() or not glob.has_magic(name):
            files = [path]  # if there is none, reading says what is nearby
        else:
            files = [Path(file) for file in sorted(glob.glob(str(path), recursive=True)) if Path(file).is_file()]  # noqa: PTH207
        if not files:
            what = "a folder without checkpoints" if path.is_dir() else "a pattern that matches no file"
            raise InputError(f"--checkpoint {name} is {what}; a run keeps its own in runs/NAME/checkpoints")
        for file in files:
            found.setdefault(digest(file), file)
    return found


def _in_folder(folder: Path) -> list[Path]:
    inner = folder / FOLDER
    where = inner if inner.is_dir() else folder
    return [file for name in NAMES for file in sorted(where.glob(name)) if file.is_file()]


def digest(file: Path) -> str:
    """The sha256 of a file; of one that cannot be opened, its name, so that reading it says what is wrong."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return str(file)


def subject_of(path: Path, sha256: str, checkpoint: Mapping[str, Any]) -> Subject:
    """Takes out of a checkpoint's content what measuring it needs.

    Args:
        path: its file.
        sha256: of the file.
        checkpoint: what the file holds.

    Raises:
        DataError: something is missing, of another kind, or has a value that means nothing.
    """
    config = _mapping(checkpoint, "config", "the checkpoint's")
    data = _mapping(config, "data")
    state = _mapping({STATE_KEY: stored_state(checkpoint)}, STATE_KEY, "the checkpoint's")
    try:
        done = int(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
        images, begun = int(state["position"]), int(state.get("epoch_start", state["position"]))
        length = max(int(files["count"]) for files in state["files"].values())
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"it does not say how far training had come ({error!r})") from error
    return Subject(
        path,
        sha256,
        done + (images - begun) / max(length, 1),
        images,
        bool(checkpoint.get("ema")),
        sight_of(data, checkpoint.get("pixel_formats", checkpoint.get("pictures", {}))),
        _own_features(config),
        _own_perceptual(config),
    )


def sight_of(data: Mapping[str, Any], stored: Mapping[str, Any]) -> Sight:
    """Reads the plain values of a configuration's `data`; the classes that it names are not looked at.

    Args:
        data: of a checkpoint's configuration.
        stored: how the training images of each domain were found to be stored, where that is known.

    Raises:
        DataError: a value is of another kind, or means nothing.
    """
    view = TrainingView(
        _value(data, "load_size", int | None, 286),
        _value(data, "crop_size", int | None, 256),
        flip=False,
        resize=_value(data, "resize", str, "stretch"),
        size_multiple=_value(data, "size_multiple", int, 4),
    )
    # A run whose configuration names no domains has A and B, as ImageDataModule says.
    domains = _mapping(data, "domains") if data.get("domains") is not None else {"A": {}, "B": {}}
    found = {name: _domain(name, entry) for name, entry in domains.items()}
    on_error = _value(data, "on_error", str, "raise")
    max_pixels = _value(data, "max_pixels", int, MAX_PIXELS)
    reducing_gap = _value(data, "reducing_gap", int | float | None, 2.0)
    if on_error not in ON_ERROR or max_pixels < 1 or (reducing_gap is not None and not reducing_gap >= 1):
        raise DataError(
            f"data.on_error is {on_error!r}, data.max_pixels {max_pixels} and data.reducing_gap {reducing_gap}, "
            "which means nothing"
        )
    return Sight(
        _value(data, "root", str | None),
        found,
        {name: _pixel_format(domain, stored.get(name)) for name, domain in found.items()},
        view,
        max_pixels,
        on_error,
        float(_value(data, "val_share", int | float, 0.0)),
        _value(data, "max_images", int | None),
        reducing_gap,
        _value(data, "pairing", str, "auto"),
    )


def images_of(
    sight: Sight,
    root: Path | None,
    splits: Sequence[str],
    size: int | None = None,
    on_error: str | None = None,
    at_most: int | None = None,
    pairing: str | None = None,
) -> HeldOut:
    """The images to measure with, as a run saw them.

    Args:
        sight: of the run.
        root: where its data are now, or other data: sources that the run named are then looked for below it, and
            those that it named with a whole path are not used; None: where they were.
        splits: see `find_held_out`.
        size: height and width, if they are to be others than training's; see `TrainingView.at_size`.
        on_error: what becomes of those that cannot be read, if not what the run did.
        at_most: of each domain, so many.
        pairing: see `HeldOut`; None: as the run's.

    Raises:
        DataError: there are none.
    """
    domains = sight.domains
    if root is not None:
        domains = {name: _without_whole_paths(domain) for name, domain in domains.items()}
    elif sight.root is not None:
        root = Path(sight.root).expanduser()
    view = sight.view if size is None else sight.view.at_size(size)
    return find_held_out(
        root,
        domains,
        sight.pixel_formats,
        view,
        splits,
        on_error or sight.on_error,
        at_most,
        sight.max_pixels,
        sight.val_share,
        sight.max_images,
        sight.reducing_gap,
        pairing or sight.pairing,
    )


def _without_whole_paths(domain: Domain) -> Domain:
    def relative(source: str | None) -> str | None:
        return None if source is None or Path(source).expanduser().is_absolute() else source

    return replace(domain, train=relative(domain.train), val=relative(domain.val), test=relative(domain.test))


def _domain(name: str, entry: Any) -> Domain:
    where = f"data.domains.{name}"
    if not isinstance(entry, dict):
        raise DataError(f"{where} is {entry!r}, no list of arguments")
    arguments = {key: value for key, value in entry.items() if key != "_target_"}
    for source in ("train", "val", "test"):
        _value(arguments, source, str | None)
    try:
        return Domain(**arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where} cannot be used: {error}") from error


def _pixel_format(domain: Domain, stored: Any) -> PixelFormat:
    """As the run's data module found it, so that features it has computed of the images serve again."""
    found = domain.pixel_format
    if found.dtype is not None or not isinstance(stored, dict):
        return found
    try:
        return replace(found, dtype=stored.get("dtype"))
    except ValueError as error:
        raise DataError(f"what it says of its images cannot be used: {error}") from error


def _own_features(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """What the run's own validation measured with, if a checkpoint may choose that."""
    entry = _validation(config).get("features")
    if not isinstance(entry, dict) or entry.get("_target_") not in OWN_FEATURES:
        return None
    names = OWN_FEATURES[entry["_target_"]]
    return entry["_target_"], {name: entry[name] for name in names if isinstance(entry.get(name), int | str)}


def _own_perceptual(config: Mapping[str, Any]) -> dict[str, str] | None:
    """None where the run measured no LPIPS; its defaults where it names a network that a checkpoint may not choose."""
    entry = _validation(config).get("perceptual")
    if entry is None:
        return None
    target, names = OWN_PERCEPTUAL
    if not isinstance(entry, dict) or entry.get("_target_") != target:
        return {}
    return {name: entry[name] for name in names if isinstance(entry.get(name), str)}


def _validation(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the run's own measuring; empty if it had none."""
    entry: Any = config
    for key in ("callbacks", "validation"):
        entry = entry.get(key) if isinstance(entry, dict) else None
    return entry if isinstance(entry, dict) else {}


def _mapping(values: Mapping[str, Any], name: str, whose: str = "its configuration's") -> dict[str, Any]:
    found = values.get(name)
    if not isinstance(found, dict):
        raise DataError(f"{whose} entry {name} is {'missing' if found is None else f'a {type(found).__name__}'}")
    return found


def _value(values: Mapping[str, Any], name: str, kind: type | UnionType, default: Any = None) -> Any:
    """A plain value; the default where there is none."""
    value = values.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"its configuration's {name} is {value!r}, a {type(value).__name__}")
    return value
