"""cyclegan-train: train the model that the configuration describes."""

from cyclegan.train.command import main, train

__all__ = ["main", "train"]
