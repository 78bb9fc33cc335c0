"""Which images a cache of a run holds, and by which name another run finds them again."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from tqdm import tqdm

from cyclegan.data.cache import Cache, Plan, describe, in_ram, on_disk
from cyclegan.data.preflight import stored_type
from cyclegan.data.reader import Prepared
from cyclegan.data.threads import in_threads
from cyclegan.data.transforms import Planes
from cyclegan.errors import DataError
from cyclegan.images import ImageError, require_suitable

log = logging.getLogger(__name__)

VERSION = 2
"""Of how images are prepared: another number, and what an earlier version kept is not used."""

KINDS: dict[str, Callable[[Mapping[str, Plan], Path], Mapping[str, Cache]]] = {
    "none": lambda plans, folder: {},
    "ram": lambda plans, folder: in_ram(plans),
    "disk": on_disk,
}


@dataclass
class Kept:
    """The images of one domain in a cache; one of another type than the rest is not kept but read every time."""

    cache: Cache

    def get(self, index: int) -> Planes | None:
        """The image with this index, if it was put there."""
        return self.cache.get(index)

    def put(self, index: int, planes: Planes) -> None:
        """Keeps an image."""
        if planes.dtype == self.cache.plan.dtype and planes.shape == self.cache.plan.shape(index):
            self.cache.put(index, planes)


def plan(kind: str, domains: Mapping[str, Prepared]) -> dict[str, Plan]:
    """What a cache of this kind is to hold of each domain.

    Where images keep their proportions, all headers are read.
    """
    return {} if kind == "none" else {domain: _plan(prepared, domain) for domain, prepared in domains.items()}


def _plan(prepared: Prepared, domain: str) -> Plan:
    view, channels, count = prepared.view, prepared.pixel_format.channels, len(prepared)
    dtype = stored_type(prepared, domain)
    if view.load_size is not None and view.resize == "stretch":
        return Plan.equal(_key(prepared, domain), count, (channels, view.load_size, view.load_size), dtype)

    def shape(index: int) -> tuple[int, int, int]:
        try:
            header = prepared.images.header(index, prepared.pixel_format)
            require_suitable(header, prepared.pixel_format, prepared.images[index], prepared.max_pixels)
            width, height = view.target_size(*prepared.size_of(header))
        except (DataError, ImageError):
            return 1, 1, 1  # it will not be put there
        return channels, height, width

    found = in_threads(shape, range(count))
    bar = tqdm(found, f"sizes of {domain}", count, unit="img", delay=2, leave=False, disable=None)
    return Plan(_key(prepared, domain), np.fromiter(bar, np.dtype((np.int32, 3)), count), dtype)


def _key(prepared: Prepared, domain: str) -> str:
    """Stands for the files as they are now, wherever they lie, and for all that is done with them."""
    view = prepared.view
    how = (VERSION, domain, view.load_size, view.resize, prepared.pixel_format, prepared.half, prepared.reducing_gap)
    libraries = [version(name) for name in ("torch", "pillow", "imagecodecs", "tifffile")]
    # With another limit, other images are passed over.
    digest = hashlib.sha256(repr((*how, prepared.max_pixels, *libraries)).encode())
    for stamp in prepared.images.stamps():
        digest.update(stamp)
    return digest.hexdigest()[:32]


def fill(
    kind: str,
    folder: Path,
    domains: Mapping[str, Prepared],
    plans: Mapping[str, Plan],
    trainer: pl.Trainer | None,
) -> None:
    """Gives each domain's images a shelf in a cache of this kind.

    To be called on every device: the first of a machine makes the cache, and when all have it, it needs no name.

    Raises:
        DataError: there is no room.
    """
    if any(prepared.shelf for prepared in domains.values()):
        return  # of an earlier call: the images stay
    caches = KINDS[kind](plans, folder)
    for domain, cache in caches.items():
        domains[domain].shelf = Kept(cache)
    if trainer is not None:
        trainer.strategy.barrier()
    for cache in caches.values():
        cache.forget_name()
    if caches and (trainer is None or trainer.is_global_zero):
        log.info("cache     %s", describe(caches.values()))
