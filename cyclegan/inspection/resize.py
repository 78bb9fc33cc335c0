"""Copy of a data set with images at the size that training resizes them to (`cyclegan-data prepare`)."""

import json
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cyclegan.data.sizes import target_size
from cyclegan.errors import DataError
from cyclegan.files import write_text
from cyclegan.images import MAX_PIXELS, ImageError, PixelFormat, read, suffix_for, write
from cyclegan.inspection.pool import process_map
from cyclegan.inspection.scan import find_folders

SETTINGS = "prepared.json"
"""File of the output folder that holds the settings of its images."""

EXTENSIONS = (".png", ".tif", ".jpg")
"""Extensions of prepared images."""

ANY_RANGE = (0.0, 1.0)
"""Floating-point images are read only with a range; its values do not matter here, because pixels stay as they are."""


@dataclass(frozen=True)
class Recipe:
    """The settings of prepared images.

    Args:
        load_size: see `sizes.target_size`.
        resize: see `sizes.target_size`.
        format: "png" or "jpg", for images of 8 bits with one or three channels; others are stored lossless.
        quality: JPEG quality.
        channels: see `PixelFormat`, as the next two.
        convert: lossy conversions that are allowed.
        page: page of files with several.
        pairs: every image is two, side by side, each of which is resized.
    """

    load_size: int | None = 286
    resize: str = "stretch"
    format: str = "png"
    quality: int = 95
    channels: int = 3
    convert: tuple[str, ...] = ()
    page: int = 0
    pairs: bool = False

    def settings(self) -> dict[str, Any]:
        """Return all settings that change the output."""
        quality = None if self.format == "png" else self.quality
        return asdict(self) | {"quality": quality, "convert": sorted(self.convert)}


class Outcome(NamedTuple):
    """The result for a data set."""

    images: int  # in the copy
    kept: int  # of those, by an earlier call
    errors: list[str]  # one message for each image that could not be read


def prepare(
    root: str | Path, out: str | Path, recipe: Recipe, workers: int = 1, max_pixels: int = MAX_PIXELS
) -> Outcome:
    """Write resized images to `out`, under the same names apart from their extensions.

    A prepared image gets the modification time of its source; where both agree, the image is kept. Images that
    cannot be read are left out and reported in the outcome.

    Args:
        root: folder that holds trainA, trainB and so on, or just images.
        out: output folder, outside of `root`; created if missing.
        recipe: the settings.
        workers: number of processes.
        max_pixels: width × height of the largest image that is decoded.

    Raises:
        DataError: before anything is written, if `out` lies in `root`, holds other files or images with other settings
            or without a source, if two images would get the same name, or if there is no image; later, if an image
            crashes the decoder.
        OSError: an image could not be written.
    """
    root, out = Path(root).expanduser().absolute(), Path(out).expanduser().absolute()
    if root.resolve() in (out.resolve(), *out.resolve().parents):
        raise DataError(f"{out} is in {root}, so that its images would be part of the data set: choose another folder")
    sources = _sources(root, recipe.pairs)
    _require_own_files(out, recipe, sources)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / SETTINGS, json.dumps(recipe.settings()) + "\n")
    waiting = [name for name in sources.values() if not _is_current(root, out, name)]
    work = partial(shrink, root=root, out=out, recipe=recipe, max_pixels=max_pixels)
    errors = [error for error in process_map(work, waiting, workers) if error]
    return Outcome(len(sources) - len(errors), len(sources) - len(waiting), errors)


def shrink(name: str, root: Path, out: Path, recipe: Recipe, max_pixels: int = MAX_PIXELS) -> str:
    """Prepare the image `root/name`; return an error message, or "" if it was written."""
    import torch  # not at the top: the command itself does without torch

    from cyclegan.data.transforms import half_of, resized

    torch.set_num_threads(1)  # the worker processes share the processors
    source = root / name
    modified = source.stat().st_mtime_ns
    for output in _outputs(out, name):
        output.unlink(missing_ok=True)  # made from an earlier version of the source
    pixel_format = PixelFormat(recipe.channels, range=ANY_RANGE, page=recipe.page, convert=recipe.convert)
    try:
        pixels = read(source, pixel_format, max_pixels=max_pixels)
        parts = [half_of(pixels, half) for half in (("left", "right") if recipe.pairs else (None,))]
    except ImageError as error:
        return str(error)
    except DataError as error:
        return f"{source}: {error}"
    height, width = parts[0].shape[:2]
    size = target_size(width, height, recipe.load_size, recipe.resize)
    pixels = np.concatenate([resized(part, *size) for part in parts], axis=1)
    if pixels.shape[2] == 3 and (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, :1]  # grey: reading repeats it to three channels
    channels, dtype = pixels.shape[2], str(pixels.dtype)
    fits = dtype == "uint8" and channels in (1, 3)
    output = out / (_stem(name) + (f".{recipe.format}" if fits else suffix_for(PixelFormat(channels, dtype))))
    write(pixels, output, recipe.quality)
    os.utime(output, ns=(modified, modified))
    return ""


def _sources(root: Path, pairs: bool) -> dict[str, str]:
    """Return the images of a data set by their names without extension, relative to `root`."""
    sources: dict[str, str] = {}
    for folder in find_folders(root, pairs):
        for path in folder.images:
            source = os.path.relpath(path, root)
            stem = _stem(source)
            if stem in sources:
                raise DataError(f"{sources[stem]} and {source} would both become {stem}: rename one")
            sources[stem] = source
    if not sources:
        raise DataError(f"{root} has no images")
    return sources


def _stem(name: str) -> str:
    return str(Path(name).with_suffix(""))


def _require_own_files(out: Path, recipe: Recipe, sources: dict[str, str]) -> None:
    """Refuse an output folder with files that this preparation would not write."""
    if not out.exists() or not any(out.iterdir()):
        return
    file = out / SETTINGS
    if not file.exists():
        raise DataError(f"{out} holds other files and no {SETTINGS}: choose a new folder, or an empty one")
    settings = json.loads(file.read_text(encoding="utf-8"))
    if settings != recipe.settings():
        other = [f"{key}={settings.get(key)}" for key, value in recipe.settings().items() if settings.get(key) != value]
        raise DataError(f"{out} was prepared with {', '.join(other)}: choose another folder, or delete this one")
    for path in out.rglob("*"):
        name = path.relative_to(out)
        is_hidden = any(part.startswith(".") for part in name.parts)
        if path != file and path.is_file() and not is_hidden and _stem(str(name)) not in sources:
            raise DataError(f"{path} has no source in the data set: put the source back, or delete this file")


def _outputs(out: Path, name: str) -> list[Path]:
    return [out / (_stem(name) + extension) for extension in EXTENSIONS]


def _is_current(root: Path, out: Path, name: str) -> bool:
    modified = (root / name).stat().st_mtime_ns
    return any(output.exists() and output.stat().st_mtime_ns == modified for output in _outputs(out, name))
