"""The folders of a data set: trainA, testB and so on, of whatever domains there are."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cyclegan.data.archive import are_shards
from cyclegan.data.file_list import Files, files_below
from cyclegan.errors import DataError

_SPLITS = ("train", "val", "test")
_NAME = re.compile(rf"({'|'.join(_SPLITS)})(?!ing)([^\W_].*)?")


@dataclass(frozen=True)
class Folder:
    """The images of one split of one domain; there may be none.

    Args:
        path: of the folder.
        split: "train", "val" or "test"; "" for a plain folder of images.
        domain: "A", "B" ...; "" where the folder's name has none, as `train` of side-by-side pairs.
        images: the files.
    """

    path: Path
    split: str
    domain: str
    images: Files

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def passed_over(self) -> Counter[str]:
        """How many files of each kind are no images: {".txt": 2, "hidden": 1}."""
        return self.images.skipped

    def image(self, index: int) -> str:
        """An image's name below the folder, "/" between folders."""
        return self.images[index].removeprefix(str(self.path)).lstrip("/")


def folders_of(root: str | Path) -> list[Folder]:
    """The split folders of a data set, train first; if it has none, the whole of it as one folder.

    A domain is what has a folder for training, unless none has: `validation` is not the domain "idation".

    Raises:
        DataError: `root` is no folder or holds shards, or a folder cannot be read.
    """
    root = Path(root).expanduser().absolute()  # so that even "." has a name
    if not root.is_dir():
        raise DataError(f"{root} {'is a file' if root.exists() else 'does not exist'}; pass a data set's folder")
    if are_shards(root):
        raise DataError(
            f"{root} holds shards (tar files), which cannot be looked at here: unpack them, or some of them"
        )
    matches = [(match, path) for path in root.iterdir() if (match := _NAME.fullmatch(path.name)) and path.is_dir()]
    found = [(match[1], match[2] or "", path) for match, path in matches]
    domains = {domain for split, domain, _ in found if split == "train"} or {domain for _, domain, _ in found}
    found = sorted((each for each in found if each[1] in domains), key=lambda each: (_SPLITS.index(each[0]), each[1]))
    return [_folder(path, split, domain) for split, domain, path in found] or [_folder(root, "", "")]


def _folder(path: Path, split: str, domain: str) -> Folder:
    return Folder(path, split, domain, files_below(path))
