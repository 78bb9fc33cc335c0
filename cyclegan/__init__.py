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
    """Loads the translator of a checkpoint, in eval mode.

    Args:
        path: a checkpoint written by `cyclegan-train`, or a run's folder: its `best.ckpt`, else its newest.
        device: where its weights go, as torch names it.
        trust: packages besides cyclegan whose classes the checkpoint's configuration may name.

    Raises:
        CheckpointError: the file is missing, damaged, or names code outside the allow-list,
            or does not fit this environment.
    """
    # Not at the top: `cyclegan-train --help` answers without waiting for torch.
    from cyclegan.checkpoint.loading import load_translator

    return load_translator(path, trust).to(device)
