"""The held-out images of a run, found by what its checkpoint says of its data module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cyclegan.data.domains import Domain
from cyclegan.data.held_out import HeldOut
from cyclegan.data.transforms import TrainingView
from cyclegan.errors import CheckpointError, InputError
from cyclegan.images import MAX_PIXELS, PixelFormat


@dataclass(frozen=True)
class DataSettings:
    """The arguments of a run's ImageDataModule that say how images are found and transformed, with the run's paths."""

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


def settings_of(data: Mapping[str, Any], formats: Mapping[str, Any]) -> DataSettings | None:
    """Read the configuration of an ImageDataModule, or a subclass, without importing the classes that it names.

    Args:
        data: the entry `data` of a checkpoint's configuration.
        formats: how the training images of each domain were stored, where that is known.

    Returns:
        the settings; None if the configuration has neither `root` nor `domains`, as of other data modules.

    Raises:
        DataError, TypeError, ValueError, AttributeError: a value has another type or no meaning.
    """
    if "root" not in data and "domains" not in data:
        return None
    view = TrainingView(
        data.get("load_size", 286),
        data.get("crop_size", 256),
        flip=False,
        resize=data.get("resize", "stretch"),
        size_multiple=data.get("size_multiple", 4),
    )
    found = {
        name: Domain(**{key: value for key, value in entry.items() if key != "_target_"})
        for name, entry in (data.get("domains") or {"A": {}, "B": {}}).items()
    }
    return DataSettings(
        data.get("root"),
        found,
        {name: _pixel_format(domain, formats.get(name)) for name, domain in found.items()},
        view,
        int(data.get("max_pixels", MAX_PIXELS)),
        data.get("on_error", "raise"),
        float(data.get("val_share", 0.0)),
        data.get("max_images"),
        data.get("reducing_gap", 2.0),
        data.get("pairing", "auto"),
    )


def _pixel_format(domain: Domain, stored: Any) -> PixelFormat:
    # The type that training found: cached features are of images that were read in this way.
    found = domain.pixel_format
    return found if found.dtype is not None or not stored else replace(found, dtype=stored.get("dtype"))


def images_of(
    settings: DataSettings,
    root: Path | None,
    splits: Sequence[str],
    size: int | None = None,
    on_error: str | None = None,
    at_most: int | None = None,
    pairing: str | None = None,
) -> HeldOut:
    """Find held-out images, shown as a run's validation shows them.

    Args:
        settings: of the run.
        root: where the data set is now, or another one; sources that the run named by absolute paths are then not
            used. None: where the run had it.
        splits: see `ImageDataModule.find_held_out`.
        size: height and width, if not those of training; see `TrainingView.at_size`.
        on_error: "raise" or "skip"; None: as in the run.
        at_most: largest number of images of each domain.
        pairing: see `HeldOut`; None: as in the run.

    Raises:
        DataError: there are no such images.
    """
    domains = settings.domains
    if root is not None:
        domains = {name: _without_absolute_paths(domain) for name, domain in domains.items()}
    elif settings.root is not None:
        root = Path(settings.root).expanduser()
    from cyclegan.data.datamodule import ImageDataModule

    data = ImageDataModule(
        root,
        domains=domains,
        val_share=settings.val_share,
        max_images=settings.max_images,
        on_error=on_error or settings.on_error,
        max_pixels=settings.max_pixels,
        reducing_gap=settings.reducing_gap,
        pairing=pairing or settings.pairing,
    )
    data.view = settings.view if size is None else settings.view.at_size(size)
    return data.find_held_out(splits, settings.pixel_formats, at_most)


def _without_absolute_paths(domain: Domain) -> Domain:
    def relative(source: str | None) -> str | None:
        return None if source is None or Path(source).expanduser().is_absolute() else source

    return replace(domain, train=relative(domain.train), val=relative(domain.val), test=relative(domain.test))


def chooses_images(config: Mapping[str, Any], trust: Sequence[str]) -> bool:
    """Return whether a trusted data module of another package has a `held_out` of its own; imports its class.

    Raises:
        UserError: there is no such class.
    """
    target = str(config.get("_target_"))
    if target.partition(".")[0] not in trust:
        return False
    from cyclegan.checkpoint.targets import resolve
    from cyclegan.data.datamodule import ImageDataModule

    return getattr(resolve(target, [], "data"), "held_out", None) is not ImageDataModule.held_out


def images_of_module(
    config: dict[str, Any], path: Path, trust: Sequence[str], at_most: int | None
) -> tuple[HeldOut, Path]:
    """Build a run's data module, and return its held-out images and its folder for cached results.

    Args:
        config: the data module's configuration.
        path: the checkpoint, for messages.
        trust: packages whose classes may be called.
        at_most: largest number of images of each domain.

    Raises:
        CheckpointError: the module is of a package that is not trusted.
        InputError: it has no held-out images.
    """
    import hydra.utils

    from cyclegan.checkpoint.targets import require_trusted

    target = str(config.get("_target_"))
    package = target.partition(".")[0]
    if package not in trust:
        raise CheckpointError(
            f"the data module of {path} is {target}, which is not part of cyclegan. If you know who made the file, "
            f"and that code, pass --trust {package}"
        )
    require_trusted(config, path, (*trust, "cyclegan"))
    data = hydra.utils.instantiate(config, _convert_="all")
    data.prepare_data()
    data.setup("fit")
    held_out = data.held_out(at_most)
    if held_out is None:
        raise InputError(f"{target}, the data module of {path}, has no held-out images")
    return held_out, data.cache_dir
