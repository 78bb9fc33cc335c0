"""cyclegan-evaluate: measure checkpoints on held-out images."""

from cyclegan.evaluate.command import main

__all__ = ["main"]
