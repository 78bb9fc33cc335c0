"""The toy set: a small synthetic horse2zebra, drawn in seconds, with paired test images.

Domain A holds plain brown animals, domain B striped ones. `testA` and `testB` hold the same scenes under the same
names, so every test image has a ground truth; the scenes of the training folders are all different.
"""

import json
import uuid
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

from cyclegan.datasets.toy_scenes import VERSION, draw_scene
from cyclegan.errors import DataError

MARKER = "toy.json"


def draw(root: Path | str, train: int = 400, test: int = 40, size: int = 64, seed: int = 0) -> None:
    """Draw the toy set into `root` as PNG files: trainA, trainB, testA, testB, and a marker file.

    If `root` holds the same set already, nothing is done. The set is drawn next to `root` and then renamed, so `root`
    never holds a part of it.

    Args:
        root: output folder; missing, empty, or holding the same set.
        train: number of training images of each domain.
        test: number of test scenes, each drawn once in either domain.
        size: height and width in pixels.
        seed: seed of the scenes.

    Raises:
        DataError: `root` holds something else.
    """
    root = Path(root)
    parameters = {"version": VERSION, "train": train, "test": test, "size": size, "seed": seed}
    if _holds(root, parameters):
        return
    staging = root.parent / f".{root.name}-{uuid.uuid4().hex[:8]}"
    staging.mkdir(parents=True)
    try:
        # The training folders have random streams of their own; the two test folders share one.
        for name, stream, count in (("trainA", 0, train), ("trainB", 1, train), ("testA", 2, test), ("testB", 2, test)):
            folder = staging / name
            folder.mkdir()
            for i in range(count):
                rng = np.random.default_rng([seed, stream, i])
                draw_scene(rng, size, striped=name.endswith("B")).save(folder / f"{i:04d}.png")
        (staging / MARKER).write_text(json.dumps(parameters) + "\n", encoding="utf-8")
        _move(staging, root, parameters)
    finally:
        rmtree(staging, ignore_errors=True)


def _holds(root: Path, parameters: dict[str, int]) -> bool:
    if not root.exists():
        return False
    if not root.is_dir():
        raise DataError(f"{root} is a file, and the toy set needs a folder of that name: choose another data.root")
    names = sorted(entry.name for entry in root.iterdir())
    if not names:
        return False
    if MARKER not in names:
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        raise DataError(
            f"{root} is not empty and does not hold the toy set, so nothing was drawn there; found: {shown}. "
            f"To train on your own images: experiment=folders data.root={root}; "
            "to draw the toy set elsewhere: data.root=ANOTHER/FOLDER"
        )
    try:
        found: Any = json.loads((root / MARKER).read_text(encoding="utf-8"))
    except ValueError:
        found = f"{MARKER} is damaged"
    if found != parameters:
        raise DataError(
            f"{root} holds another toy set ({found}) than the requested one ({parameters}): "
            "remove that folder, or draw elsewhere with data.root=ANOTHER/FOLDER"
        )
    return True


def _move(staging: Path, root: Path, parameters: dict[str, int]) -> None:
    try:
        if root.is_dir():
            root.rmdir()
        staging.rename(root)
    except OSError:
        # Another run may have drawn the same set meanwhile.
        if not _holds(root, parameters):
            raise
