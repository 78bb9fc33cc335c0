"""The toy set: a small synthetic horse2zebra, drawn in seconds, with paired test images."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cyclegan.datasets.toy_scenes import VERSION, draw_scene
from cyclegan.errors import DataError

MARKER = "toy.json"

STREAMS = {"trainA": 0, "trainB": 1, "testA": 2, "testB": 2}
"""Number of each folder's random stream: the test folders hold the same scenes, the training folders different ones."""


def draw(
    root: Path | str, train: int = 400, test: int = 40, size: int = 64, seed: int = 0, paired: bool = False
) -> None:
    """Draw the toy set into `root` as PNG files: plain brown animals in trainA and testA, striped ones in the others.

    If `root` holds the same set already, nothing is done. The set is drawn next to `root` and then renamed, so `root`
    never holds a part of it.

    Args:
        root: output folder; missing, empty, or holding the same set.
        train: number of training images of each domain.
        test: number of test scenes; each is drawn in both domains, under the same name.
        size: height and width in pixels.
        seed: seed of the scenes.
        paired: whether the training folders hold the same scenes too, under the same names.

    Raises:
        DataError: `root` holds something else.
    """
    root = Path(root)
    described = {"version": VERSION, "train": train, "test": test, "size": size, "seed": seed}
    parameters = json.dumps(described | ({"paired": True} if paired else {}))
    if _holds(root, parameters):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as temporary:
        staging = Path(temporary, "toy")
        for name, stream in (STREAMS | ({"trainB": STREAMS["trainA"]} if paired else {})).items():
            (staging / name).mkdir(parents=True)
            for i in range(train if name.startswith("train") else test):
                rng = np.random.default_rng([seed, stream, i])
                draw_scene(rng, size, striped=name.endswith("B")).save(staging / name / f"{i:04d}.png")
        (staging / MARKER).write_text(parameters + "\n", encoding="utf-8")
        try:
            staging.rename(root)
        except OSError:
            # Another run may have drawn the same set meanwhile.
            if not _holds(root, parameters):
                raise


def _holds(root: Path, parameters: str) -> bool:
    names = sorted(entry.name for entry in root.iterdir()) if root.exists() else []
    if not names:
        return False
    if MARKER not in names:
        raise DataError(
            f"{root} is not empty and does not hold the toy set, so nothing was drawn there; found: "
            f"{', '.join(names[:6])}. To train on your own images: experiment=folders data.root={root}; "
            "to draw the toy set elsewhere: data.root=ANOTHER/FOLDER"
        )
    found = (root / MARKER).read_text(encoding="utf-8").strip()
    if found != parameters:
        raise DataError(
            f"{root} holds another toy set ({found}) than the requested one ({parameters}): "
            "remove that folder, or draw elsewhere with data.root=ANOTHER/FOLDER"
        )
    return True
