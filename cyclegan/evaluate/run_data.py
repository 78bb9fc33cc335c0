"""The held-out images of a run, found by its checkpoint's configuration of the data module."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclegan.checkpoint.loading import build
from cyclegan.checkpoint.targets import require_trusted, resolve
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.domains import Domain
from cyclegan.data.held_out import HeldOut
from cyclegan.errors import DataError, InputError
from cyclegan.evaluate.checkpoints import EvaluatedCheckpoint
from cyclegan.images import PixelFormat

ARGUMENTS = (
    "root", "load_size", "crop_size", "resize", "size_multiple", "val_share", "max_images", "on_error", "max_pixels",
    "reducing_gap", "pairing",
)  # fmt: skip
"""The arguments of ImageDataModule, besides the domains, that say how images are found and transformed."""

OWN_PARTS = ("cyclegan.data.domains", "cyclegan.data.augment", "cyclegan.datasets.toy")
"""Modules whose classes and functions may be arguments of a trusted data module."""


def find_images(checkpoint: EvaluatedCheckpoint, args: argparse.Namespace) -> tuple[HeldOut, Path]:
    """Return the held-out images of a checkpoint's run, and the folder for features computed of them.

    Raises:
        CheckpointError: they are chosen by code of a package that is not trusted.
        InputError: there are none, or an option cannot be used.
    """
    config, path = checkpoint.data, checkpoint.path
    if _chooses_images(config, args.trust):
        for option in ("data", "split", "size", "on_error", "pairing"):
            if getattr(args, option) is not None:
                raise InputError(
                    f"--{option.replace('_', '-')} cannot be used with {path}: its data module, "
                    f"{config.get('_target_')}, chooses the images itself"
                )
        return _images_of_module(config, path, args.trust, args.max_images)
    splits = (args.split,) if args.split else ("test", "val")
    options = {name: value for name in ("on_error", "pairing") if (value := getattr(args, name))}
    try:
        held_out = images_of(config | options, checkpoint.pixel_formats, splits, args.data, args.size, args.max_images)
    except DataError as error:
        whose = "" if args.data else f" (the data set of the run of {path})"
        raise InputError(
            f"{error}{whose}. Pass --data ROOT, the folder that holds testA and testB, or --split"
        ) from error
    return held_out, Path(args.data or config.get("root") or ".").expanduser() / ".cache" / "features"


def images_of(
    config: Mapping[str, Any],
    pixel_formats: Mapping[str, Any],
    splits: Sequence[str],
    root: Path | None = None,
    size: int | None = None,
    at_most: int | None = None,
) -> HeldOut:
    """Find held-out images, as a run's validation shows them; no class that the configuration names is imported.

    Args:
        config: of an ImageDataModule or a subclass.
        pixel_formats: see `EvaluatedCheckpoint`.
        splits: see `ImageDataModule.find_held_out`.
        root: where the data set is now, or another one; absolute paths of the run are then not used. None: the run's.
        size: height and width, if not those of training; see `TrainingView.at_size`.
        at_most: largest number of images of each domain.

    Raises:
        DataError: there are no such images.
    """
    domains = {
        name: Domain(**{key: value for key, value in entry.items() if key != "_target_"})
        for name, entry in (config.get("domains") or {"A": {}, "B": {}}).items()
    }
    formats = {name: _pixel_format(domain, pixel_formats.get(name, {})) for name, domain in domains.items()}
    arguments = {name: config[name] for name in ARGUMENTS if name in config}
    if root:
        arguments["root"] = root
        domains = {name: _without_absolute_paths(domain) for name, domain in domains.items()}
    data = ImageDataModule(domains=domains, **arguments)
    if size:
        data.view = data.view.at_size(size)
    return data.find_held_out(splits, formats, at_most)


def _pixel_format(domain: Domain, stored: Mapping[str, Any]) -> PixelFormat:
    # The type that training found: it is a part of the key of cached features.
    found = domain.pixel_format
    return replace(found, dtype=found.dtype or stored.get("dtype"))


def _without_absolute_paths(domain: Domain) -> Domain:
    def relative(source: str | None) -> str | None:
        return None if source is None or Path(source).expanduser().is_absolute() else source

    return replace(domain, train=relative(domain.train), val=relative(domain.val), test=relative(domain.test))


def _chooses_images(config: Mapping[str, Any], trust: Sequence[str]) -> bool:
    if "root" not in config and "domains" not in config:
        return True  # no ImageDataModule
    target = str(config.get("_target_"))
    if target.partition(".")[0] not in trust:
        return False
    return getattr(resolve(target, [], "data"), "held_out", None) is not ImageDataModule.held_out


def _images_of_module(
    config: dict[str, Any], path: Path, trust: Sequence[str], at_most: int | None
) -> tuple[HeldOut, Path]:
    require_trusted({"_target_": config.get("_target_")}, path, trust, "data")
    require_trusted(config, path, trust, "data", OWN_PARTS)
    data = build(config, "data", path)
    data.prepare_data()
    data.setup("fit")
    held_out = data.held_out(at_most)
    if held_out is None:
        raise InputError(f"{config['_target_']}, the data module of {path}, has no held-out images")
    return held_out, data.cache_dir / "features"
