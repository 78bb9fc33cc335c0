"""The toy set: a miniature horse2zebra, drawn in seconds, in which the right answer of every test image is known.

Domain A holds plain brown animals, domain B the same kind of animal in stripes. `testA` and `testB` hold the same
scenes under the same names; the training folders hold disjoint ones, as unpaired data do.
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
    """Draws the toy set into `root` as PNG files: trainA, trainB, testA, testB, and a marker file.

    A folder that already holds this very set is left alone. The set appears whole or not at all: it is drawn
    next to `root` and then moved there.

    Args:
        root: folder to make; missing, empty, or holding this same set.
        train: training images of each domain.
        test: test scenes; each is drawn once in either domain.
        size: height and width in pixels.
        seed: another seed gives other scenes.

    Raises:
        DataError: `root` holds something else.
    """
    root = Path(root)
    parameters = {"version": VERSION, "train": train, "test": test, "size": size, "seed": seed}
    if _holds(root, parameters):
        return
    workshop = root.parent / f".{root.name}-{uuid.uuid4().hex[:8]}"
    workshop.mkdir(parents=True)
    try:
        # Training scenes of A and B come from streams of their own; the two test folders share one.
        for name, stream, count in (("trainA", 0, train), ("trainB", 1, train), ("testA", 2, test), ("testB", 2, test)):
            folder = workshop / name
            folder.mkdir()
            for i in range(count):
                rng = np.random.default_rng([seed, stream, i])
                draw_scene(rng, size, striped=name.endswith("B")).save(folder / f"{i:04d}.png")
        (workshop / MARKER).write_text(json.dumps(parameters) + "\n", encoding="utf-8")
        _move(workshop, root, parameters)
    finally:
        rmtree(workshop, ignore_errors=True)


def _holds(root: Path, parameters: dict[str, int]) -> bool:
    """Whether `root` already holds this toy set; False if there is nothing yet."""
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
            f"To train on images of your own: experiment=folders data.root={root}; "
            "to draw the toy set elsewhere: data.root=ANOTHER/FOLDER"
        )
    try:
        found: Any = json.loads((root / MARKER).read_text(encoding="utf-8"))
    except ValueError:
        found = "its marker file cannot be read"
    if found != parameters:
        raise DataError(
            f"{root} holds another toy set ({found}) than the one asked for ({parameters}): "
            "remove that folder, or draw elsewhere with data.root=ANOTHER/FOLDER"
        )
    return True


def _move(workshop: Path, root: Path, parameters: dict[str, int]) -> None:
    try:
        if root.is_dir():
            root.rmdir()
        workshop.rename(root)
    except OSError:
        # Another run may have drawn the same set meanwhile; then theirs is as good as ours.
        if not _holds(root, parameters):
            raise
