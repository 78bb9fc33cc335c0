"""Paired ground truth: images of two domains that have the same name."""

from posixpath import splitext

from cyclegan.data.source import ImageSource

PAIRINGS = ("auto", "by_name", "none")
"""Which images of the same name are paired: the halves of one file, all, none."""


def paired_names(a: ImageSource, b: ImageSource) -> list[tuple[int, int]]:
    """Pairs images whose names agree but for the ending: testA/x/1.png with testB/x/1.jpg.

    Where two images of a domain have such a name, 1.png and 1.jpg in one folder, none of them is paired.

    Returns:
        Indices (in a, in b), ascending in a.
    """
    in_b = _by_stem(b)
    return [(index, in_b[stem]) for stem, index in _by_stem(a).items() if stem in in_b]


def _by_stem(images: ImageSource) -> dict[str, int]:
    """The index of each name without ending that is borne once, in the images' order."""
    found: dict[str, int] = {}
    repeated = set()
    for index, name in enumerate(images.names()):
        stem = splitext(name)[0]
        if found.setdefault(stem, index) != index:
            repeated.add(stem)
    return {stem: index for stem, index in found.items() if stem not in repeated}
