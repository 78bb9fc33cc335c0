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
    from cyclegan.networks.modes import Mode

__version__ = "0.1.0"


def load(
    path: str | os.PathLike[str],
    device: str = "cpu",
    trust: Iterable[str] = (),
    direction: str | None = None,
    translate_in: Mode | None = None,
) -> Translator:
    """Load the translator of a checkpoint, in eval mode.

    Args:
        path: a checkpoint of `cyclegan-train`, or a run folder: its `best.ckpt`, else the newest checkpoint. Or
            published weights: a file, a folder of the authors' code, or a name that `cyclegan-weights` has downloaded.
        device: torch's name of the device for the weights.
        trust: packages besides cyclegan whose classes the checkpoint may use.
        direction: "A2B" or "B2A", of a file with one published generator, which does not store it; None: A2B.
        translate_in: "train" translates with dropout and the batch statistics of each image, as pix2pix's authors do;
            None: as the checkpoint says, without for published weights.

    Raises:
        CheckpointError: the file is missing or damaged, names code that does not exist or is not trusted, or is a state
            dict of no known network.
    """
    # Not at the top, so that `--help` answers without importing torch.
    from cyclegan.checkpoint.loading import load_translator

    return load_translator(path, trust, direction, translate_in).to(device)
