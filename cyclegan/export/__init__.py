"""cyclegan-export: one direction of a checkpoint, for other programs."""

from cyclegan.export.command import main

__all__ = ["main"]
