"""Copy of a data set with images at the size that training resizes them to (`cyclegan-data prepare`)."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cyclegan.data.sizes import target_size
from cyclegan.errors import DataError
from cyclegan.files import write_text
from cyclegan.images import MAX_PIXELS, RGB, ImageError, PixelFormat, Pixels, read, suffix_for, write
from cyclegan.inspection.pool import process_map
from cyclegan.inspection.scan import find_folders

SETTINGS = "prepared.json"
"""File of the output folder that holds the settings of its images."""

LOSSLESS = (".png", ".tif")
ANY_RANGE = (0.0, 1.0)
"""Floating-point images are read only with a range; its values do not matter here, because pixels stay as they are."""


@dataclass(frozen=True)
class Recipe:
    """The settings of prepared images.

    Args:
        load_size: see `sizes.target_size`.
        resize: see `sizes.target_size`.
        extension: ".png" or ".jpg", for images of 8 bits with one or three channels; others are stored lossless.
        quality: JPEG quality.
        pixel_format: format to decode to.
        pairs: every image is two, side by side, each of which is resized.
        max_pixels: width × height of the largest image that is decoded.
    """

    load_size: int | None = 286
    resize: str = "stretch"
    extension: str = ".png"
    quality: int = 95
    pixel_format: PixelFormat = RGB
    pairs: bool = False
    max_pixels: int = MAX_PIXELS

    def settings(self) -> dict[str, int | str | list[str] | None]:
        """Return all settings that change the output."""
        return {
            "load_size": self.load_size,
            "resize": self.resize,
            "format": self.extension.lstrip("."),
            "quality": None if self.extension == ".png" else self.quality,
            "channels": self.pixel_format.channels,
            "convert": sorted(self.pixel_format.convert),
            "page": self.pixel_format.page,
            "pairs": self.pairs,
        }

    def extension_for(self, pixels: Pixels) -> str:
        """Return the extension of the file for these pixels."""
        channels, dtype = pixels.shape[2], str(pixels.dtype)
        if dtype == "uint8" and channels in (1, 3):
            return self.extension
        return suffix_for(PixelFormat(channels, dtype))


class Job(NamedTuple):
    """An image to prepare."""

    source: str
    source_mtime_ns: int
    target: str  # path without extension, which depends on the pixels


class Outcome(NamedTuple):
    """The result for a data set."""

    images: int  # prepared now
    kept: int  # of those, by an earlier call
    source_bytes: int  # of the files that they were made from
    output_bytes: int
    errors: Sequence[str]  # one message for each image that could not be read


def prepare(
    root: str | Path,
    out: str | Path,
    recipe: Recipe,
    workers: int = 1,
    progress: Callable[[Iterator[str], int], Iterator[str]] = lambda results, total: results,
) -> Outcome:
    """Write resized images to `out`, under the same names apart from their extensions.

    A prepared image gets the modification time of its source; where both agree, the image is kept. Images that
    cannot be read are left out and reported in the outcome.

    Args:
        root: folder that holds trainA, trainB and so on, or just images.
        out: output folder, outside of `root`; created if missing.
        recipe: the settings.
        workers: number of processes.
        progress: wraps the iterator of results, given their number; for a progress bar.

    Raises:
        DataError: before anything is written, if `out` lies in `root`, holds other files or images with other settings
            or without a source, if two images would get the same name, or if there is no image.
        OSError: an image could not be written.
    """
    root, out = Path(root).expanduser().absolute(), Path(out).expanduser().absolute()
    if root.resolve() in (out.resolve(), *out.resolve().parents):
        raise DataError(f"{out} is {root} or lies in it, and its images would count as the data set's: choose another")
    jobs = _jobs(root, out, recipe.pairs)
    _require_own_files(out, recipe, {job.target for job in jobs})
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / SETTINGS, json.dumps(recipe.settings()) + "\n")
    waiting = [job for job in jobs if _output_of(job) is None]
    with closing(process_map(partial(shrink, recipe=recipe), waiting, workers, _crashed)) as results:
        errors = [error for error in progress(results, len(waiting)) if error]
    outputs = [(job, output) for job in jobs if (output := _output_of(job))]
    return Outcome(
        len(outputs),
        len(jobs) - len(waiting),
        sum(Path(job.source).stat().st_size for job, _ in outputs),
        sum(output.stat().st_size for _, output in outputs),
        errors,
    )


def shrink(job: Job, recipe: Recipe) -> str:
    """Prepare one image, in a worker process; return an error message, or "" if the image was written."""
    import torch  # not at the top: the command itself does without torch

    from cyclegan.data.transforms import half_of, resized

    torch.set_num_threads(1)  # the worker processes share the processors
    for extension in (*LOSSLESS, ".jpg"):
        Path(job.target + extension).unlink(missing_ok=True)  # of an earlier state of the source
    try:
        pixels = read(job.source, replace(recipe.pixel_format, range=ANY_RANGE), max_pixels=recipe.max_pixels)
        parts = [half_of(pixels, half) for half in (("left", "right") if recipe.pairs else (None,))]
    except ImageError as error:
        return str(error)
    except DataError as error:
        return f"{job.source}: {error}"
    height, width = parts[0].shape[:2]
    size = target_size(width, height, recipe.load_size, recipe.resize)
    pixels = np.concatenate([resized(part, *size) for part in parts], axis=1)
    if pixels.shape[2] == 3 and (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, :1]  # grey, which reading repeats to three channels
    output = job.target + recipe.extension_for(pixels)
    write(pixels, output, recipe.quality)
    os.utime(output, ns=(job.source_mtime_ns, job.source_mtime_ns))
    return ""


def _jobs(root: Path, out: Path, pairs: bool) -> list[Job]:
    jobs = []
    sources: dict[str, str] = {}
    for folder in find_folders(root, pairs):
        for path in folder.images:
            source = os.path.relpath(path, root)
            target = os.path.splitext(os.path.join(out, source))[0]  # noqa: PTH118, PTH122 - there may be a million
            if target in sources:
                raise DataError(
                    f"{sources[target]} and {source} would both become {os.path.relpath(target, out)}: rename one"
                )
            sources[target] = source
            jobs.append(Job(path, os.stat(path).st_mtime_ns, target))  # noqa: PTH116
    if not jobs:
        raise DataError(f"there is no image in {root}")
    return jobs


def _require_own_files(out: Path, recipe: Recipe, targets: set[str]) -> None:
    """Refuse an output folder with anything that this preparation would not write."""
    if not out.exists() or not any(out.iterdir()):
        return
    file = out / SETTINGS
    if not file.exists():
        raise DataError(f"{out} holds other files and no {SETTINGS}: choose a new folder, or an empty one")
    try:
        settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is damaged ({error}): delete {out}, and prepare the data set again") from error
    if settings != recipe.settings():
        other = [f"{key}={settings.get(key)}" for key, value in recipe.settings().items() if settings.get(key) != value]
        raise DataError(f"{out} was prepared with {', '.join(other)}: choose another folder, or delete this one")
    for path in out.rglob("*"):
        is_hidden = any(part.startswith(".") for part in path.relative_to(out).parts)
        if path != file and path.is_file() and not is_hidden and str(path.with_suffix("")) not in targets:
            raise DataError(f"{path} has no source in the data set: put the source back, or delete this file")


def _output_of(job: Job) -> Path | None:
    for extension in (*LOSSLESS, ".jpg"):
        output = Path(job.target + extension)
        if output.exists() and output.stat().st_mtime_ns == job.source_mtime_ns:
            return output
    return None


def _crashed(job: Job) -> str:
    return (
        f"{job.source}: the process that read it crashed: the file crashes the decoder, or memory ran out (then: fewer "
        "--num-workers); remove it from the folder"
    )
