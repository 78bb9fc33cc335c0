"""Unpaired image-to-image translation on PyTorch Lightning.

import cyclegan
translator = cyclegan.load("runs/toy/checkpoints/last.ckpt")
fake_b = translator.translate(images, "A", "B")     # (N, C, H, W) in [-1, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from cyclegan.methods.translator import Translator

__version__ = "0.1.0"


def load(path: str | os.PathLike[str], device: str = "cpu", trust: Iterable[str] = ()) -> Translator:
    """Load the translator of a checkpoint, in eval mode.

    Args:
        path: a checkpoint of `cyclegan-train`, or a run folder: its `best.ckpt`, else the newest checkpoint.
        device: torch's name of the device for the weights.
        trust: packages besides cyclegan whose classes the checkpoint may use.

    Raises:
        CheckpointError: the file is missing or damaged, or names code that does not exist or is not trusted.
    """
    # Not at the top, so that `--help` answers without importing torch.
    from cyclegan.checkpoint.loading import load_translator

    return load_translator(path, trust).to(device)
