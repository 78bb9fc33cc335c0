"""Which run a checkpoint is of, by its path; and what checkpoints of several runs are called beside each other."""

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from cyclegan.checkpoint.reading import FOLDER

NAMES = ("epoch*.ckpt", "best.ckpt", "last.ckpt")
"""The checkpoints of a run's folder that stay; those named by images are on their way out."""


def run_of(path: Path) -> Path:
    """The folder of a checkpoint's run.

    A file that lies elsewhere, under a name that runs do not give, is a run of its own: nothing says that its
    neighbours are of the same one.
    """
    folder = path.parent.resolve()
    if folder.name == FOLDER:
        return folder.parent
    return folder if any(fnmatch(path.name, name) for name in (*NAMES, "images*.ckpt")) else folder / path.name


def in_order(paths: Sequence[Path]) -> list[Path]:
    """The runs that checkpoints are of, each once, in the order in which they come."""
    return list(dict.fromkeys(map(run_of, paths)))


def labels(paths: Sequence[Path]) -> list[str]:
    """What tells checkpoints of several runs apart: `t1/last`, `sweep/1/epoch0010`, below the folder of all runs."""
    runs = [run_of(path) for path in paths]
    shared = 0
    for names in zip(*(run.parts for run in runs), strict=False):
        if len(set(names)) > 1:
            break
        shared += 1
    found = []
    for path, run in zip(paths, runs, strict=True):
        parts = [*run.parts[shared:], *([] if run.name == path.name else [path.name])]
        found.append("/".join(parts).removesuffix(".ckpt"))
    return found
