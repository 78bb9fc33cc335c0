"""Decoded images that all workers and all ranks of a machine share, so that each is decoded once.

A cache is one file: a header, a mark for each image, then the pixels. `in_ram` keeps it in memory, `on_disk` in a
folder, for the next run as well. An image's mark is written after its pixels and carries their CRC-32. Whoever reads
compares the two, so it needs no lock and no memory barrier: pixels that are half written, that another processor
does not see in full yet, or that a loss of power took, do not agree with the mark, and the image counts as missing.
"""

from cyclegan.data.cache.base import Cache, describe
from cyclegan.data.cache.disk import DiskCache, on_disk
from cyclegan.data.cache.plan import Plan
from cyclegan.data.cache.ram import RamCache, in_ram
from cyclegan.data.cache.room import require_room

__all__ = ["Cache", "DiskCache", "Plan", "RamCache", "describe", "in_ram", "on_disk", "require_room"]
