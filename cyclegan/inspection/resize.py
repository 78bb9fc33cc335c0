"""A copy of a data set whose images are as large as training makes them."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cyclegan.data.sizes import target_size
from cyclegan.errors import DataError
from cyclegan.images import MAX_PIXELS, RGB, ImageError, PixelFormat, Pixels, read, suffix_for, write
from cyclegan.inspection.folders import folders_of
from cyclegan.inspection.manifest import Entry, Manifest
from cyclegan.inspection.pool import Crew

SAMPLES = 32
"""Images that are prepared first, to see whether there is room for all."""

ANY_RANGE = (0.0, 1.0)
"""Floating-point images are read only if their range is said; it decides nothing here, as values stay as they are."""


@dataclass(frozen=True)
class Recipe:
    """How images are prepared.

    Args:
        load_size: see `sizes.target_size`.
        resize: see `sizes.target_size`.
        ending: ".png" or ".jpg", of images of 8 bits with one or three channels; others become lossless.
        quality: of .jpg.
        pixel_format: what the images are decoded to.
        pairs: every image is two side by side, each of which is resized.
        max_pixels: width × height of the largest image that is decoded; decides nothing about the others.
    """

    load_size: int | None = 286
    resize: str = "stretch"
    ending: str = ".png"
    quality: int = 95
    pixel_format: PixelFormat = RGB
    pairs: bool = False
    max_pixels: int = MAX_PIXELS

    def settings(self) -> dict[str, int | str | list[str] | None]:
        """All that decides what comes out."""
        return {
            "load_size": self.load_size,
            "resize": self.resize,
            "format": self.ending.lstrip("."),
            "quality": None if self.ending == ".png" else self.quality,
            "channels": self.pixel_format.channels,
            "convert": sorted(self.pixel_format.convert),
            "page": self.pixel_format.page,
            "pairs": self.pairs,
        }

    def ending_of(self, pixels: Pixels) -> str:
        """The ending of the file for these pixels."""
        channels, dtype = pixels.shape[2], str(pixels.dtype)
        if dtype == "uint8" and channels in (1, 3):
            return self.ending
        return suffix_for(PixelFormat(channels, dtype))


class Job(NamedTuple):
    """An image to prepare."""

    path: str
    source: str  # its name below the data set's folder
    source_bytes: int
    source_mtime_ns: int
    target: str  # path without an ending, which depends on what is in the file


class Done(NamedTuple):
    """What became of it."""

    job: Job
    ending: str = ""
    output_bytes: int = 0
    error: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a data set.

    Args:
        images: that are prepared now.
        kept: how many of them were so before.
        source_bytes: of the files that they were made from.
        output_bytes: of the prepared ones.
        errors: a text for each image that could not be read.
    """

    images: int
    kept: int
    source_bytes: int
    output_bytes: int
    errors: Sequence[str]


def prepare(
    root: str | Path,
    out: str | Path,
    recipe: Recipe,
    workers: int = 1,
    progress: Callable[[Iterator[Done], int], Iterator[Done]] = lambda done, total: done,
) -> Outcome:
    """Writes resized images under the same names, but for their endings; those that are there already are kept.

    Images that cannot be read are left out, and named in the outcome.

    Args:
        root: holds trainA, trainB and so on, or just images.
        out: where the prepared ones go.
        recipe: how they are made.
        workers: processes that work.
        progress: is given the results as they come, and how many it will be; hands them on.

    Raises:
        DataError: before anything is written, if `out` is in the wrong place or holds something else, two images
            would become one, there is none, or the source of one that was prepared before is gone. After the first
            ones, if there is no room for the others.
        OSError: an image could not be written.
    """
    root, out = Path(root).expanduser().absolute(), Path(out).expanduser().absolute()
    _require_apart(root, out)
    jobs = _jobs(root, out)
    manifest = Manifest(out, recipe.settings())
    _require_sources(manifest, jobs, out)
    waiting = [job for job in jobs if not _is_done(job, manifest, out)]
    errors: list[tuple[str, str]] = []
    with manifest, Crew(workers) as crew:
        for done in progress(_with_room(crew, recipe, waiting, out), len(waiting)):
            former = manifest.entries.get(done.job.source)
            output = os.path.relpath(done.job.target + done.ending, out)
            if former is not None and (done.error or former.output != output):
                (out / former.output).unlink(missing_ok=True)  # of a source that has changed
            if done.error:
                errors.append((done.job.source, done.error))
            else:
                manifest.add(Entry(*done.job[1:4], output, done.output_bytes))
    entries = [manifest.entries[job.source] for job in jobs if _is_done(job, manifest, out)]
    return Outcome(
        len(entries),
        len(jobs) - len(waiting),
        sum(entry.source_bytes for entry in entries),
        sum(entry.output_bytes for entry in entries),
        [error for _, error in sorted(errors)],
    )


def shrink(job: Job, recipe: Recipe) -> Done:
    """Prepares one image, in a process of its own."""
    import torch  # here, as the command does without it

    from cyclegan.data.transforms import half_of, resized

    torch.set_num_threads(1)  # the processes share the processors
    try:
        pixels = read(job.path, replace(recipe.pixel_format, range=ANY_RANGE), max_pixels=recipe.max_pixels)
    except ImageError as error:
        return Done(job, error=str(error))
    try:
        parts = [half_of(pixels, half) for half in (("left", "right") if recipe.pairs else (None,))]
    except DataError as error:
        return Done(job, error=f"{job.path}: {error}")
    height, width = parts[0].shape[:2]
    size = target_size(width, height, recipe.load_size, recipe.resize)
    pixels = _grey_as_one(np.concatenate([resized(part, *size) for part in parts], axis=1))
    ending = recipe.ending_of(pixels)
    write(pixels, job.target + ending, recipe.quality)
    return Done(job, ending, os.path.getsize(job.target + ending))  # noqa: PTH202


def _died(job: Job, how: str) -> Done:
    return Done(
        job,
        error=f"{job.path}: the process that read it {how}: it breaks the decoder, or memory ran out (then: fewer "
        "--num-workers); take it out of the folder",
    )


def _with_room(crew: Crew, recipe: Recipe, jobs: Sequence[Job], out: Path) -> Iterator[Done]:
    """The results of all jobs; but those of some, evenly spread, come first and tell whether all have room.

    Raises:
        DataError: they have not.
    """
    work = partial(shrink, recipe=recipe)
    first = set(np.linspace(0, len(jobs) - 1, min(SAMPLES, len(jobs))).astype(int).tolist())
    sizes = []
    for done in crew.map(work, (jobs[number] for number in sorted(first)), _died):
        sizes += [] if done.error else [done.output_bytes]
        yield done
    remaining = len(jobs) - len(first)
    if remaining and sizes:
        needed, free = remaining * sum(sizes) // len(sizes), shutil.disk_usage(out).free
        if needed > free:
            raise DataError(
                f"{out} has {free / 1e9:,.2f} GB left, and the other {remaining:,} images will need about "
                f"{needed / 1e9:,.2f} GB: make room, or choose another folder, --format jpg or a smaller --load-size; "
                f"{len(sizes)} are done, and the same command goes on from there"
            )
    yield from crew.map(work, (job for number, job in enumerate(jobs) if number not in first), _died)


def _grey_as_one(pixels: Pixels) -> Pixels:
    """Drops channels that repeat the first of three; reading them repeats it again."""
    if pixels.shape[2] == 3 and (pixels == pixels[:, :, :1]).all():
        return pixels[:, :, :1]
    return pixels


def _require_apart(root: Path, out: Path) -> None:
    if root.resolve() in (out.resolve(), *out.resolve().parents):
        raise DataError(f"{out} is {root} or lies in it, and its images would count as the data set's: go elsewhere")


def _jobs(root: Path, out: Path) -> list[Job]:
    """Every image of the data set; no two of them become one file."""
    jobs = []
    sources: dict[str, str] = {}
    for folder in folders_of(root):
        for path in folder.images:
            source = os.path.relpath(path, root)
            target = os.path.splitext(os.path.join(out, source))[0]  # noqa: PTH118, PTH122 - there may be a million
            if target in sources:
                raise DataError(
                    f"{sources[target]} and {source} would both become {os.path.relpath(target, out)}: rename one"
                )
            sources[target] = source
            try:
                found = os.stat(path)  # noqa: PTH116
            except OSError as error:
                raise DataError(f"{path}: {error.strerror or error}") from error
            jobs.append(Job(path, source, found.st_size, found.st_mtime_ns, target))
    if not jobs:
        raise DataError(f"there is no image in {root}")
    return jobs


def _require_sources(manifest: Manifest, jobs: Sequence[Job], out: Path) -> None:
    gone = sorted(manifest.entries.keys() - {job.source for job in jobs})
    if gone:
        outputs = [manifest.entries[source].output for source in gone]
        more = f" and {len(gone) - 1:,} more" if gone[1:] else ""
        raise DataError(
            f"{out} holds {outputs[0]}, whose source {gone[0]} is gone{more}: put it back, or delete {out} and "
            "prepare the data set anew"
        )


def _is_done(job: Job, manifest: Manifest, out: Path) -> bool:
    entry = manifest.entries.get(job.source)
    return (
        entry is not None
        and (entry.source_bytes, entry.source_mtime_ns) == (job.source_bytes, job.source_mtime_ns)
        and entry.is_whole(out)
    )
