"""cyclegan-train: train what a configuration describes."""

from cyclegan.train.command import main, train

__all__ = ["main", "train"]
