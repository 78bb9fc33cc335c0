"""The generators that the authors of CycleGAN, pix2pix and CUT publish, and the folder of the downloaded ones."""

import os
from dataclasses import dataclass
from pathlib import Path

RIGHTS = (
    "The weights come without a licence of their own; the authors' code has a BSD licence, and the data sets have "
    "their own terms. Cite the authors."
)

SERVER = "http://efrosgans.eecs.berkeley.edu"
ARCHIVE = "pretrained_models.tar"
"""CUT's file, with `NAME/latest_net_G.pth` of all its generators."""


@dataclass(frozen=True)
class PublishedWeights:
    """A published generator."""

    name: str
    method: str
    dataset: str
    direction: str  # in the authors' data set, where A and B are as in `cyclegan-data download`
    folder: str  # of the server
    file: str  # of the server


def _of(
    method: str, folder: str, *rows: tuple[str, str, str], prefix: str = "", file: str = ""
) -> list[PublishedWeights]:
    return [
        PublishedWeights(f"{prefix}{name}", method, dataset, direction, f"{SERVER}/{folder}", file or f"{name}.pth")
        for name, dataset, direction in rows
    ]


WEIGHTS = {
    weights.name: weights
    for weights in (
        *_of(
            "cyclegan", "cyclegan/pretrained_models",
            ("horse2zebra", "horse2zebra", "A2B"), ("zebra2horse", "horse2zebra", "B2A"),
            ("apple2orange", "apple2orange", "A2B"), ("orange2apple", "apple2orange", "B2A"),
            ("summer2winter_yosemite", "summer2winter_yosemite", "A2B"),
            ("winter2summer_yosemite", "summer2winter_yosemite", "B2A"),
            ("monet2photo", "monet2photo", "A2B"), ("style_monet", "monet2photo", "B2A"),
            ("style_cezanne", "cezanne2photo", "B2A"), ("style_ukiyoe", "ukiyoe2photo", "B2A"),
            ("style_vangogh", "vangogh2photo", "B2A"), ("sat2map", "maps", "A2B"), ("map2sat", "maps", "B2A"),
            ("cityscapes_photo2label", "cityscapes", "A2B"), ("cityscapes_label2photo", "cityscapes", "B2A"),
            ("facades_photo2label", "facades", "A2B"), ("facades_label2photo", "facades", "B2A"),
            ("iphone2dslr_flower", "iphone2dslr_flower", "A2B"),
        ),
        *_of(
            "pix2pix", "pix2pix/models-pytorch",
            ("edges2shoes", "edges2shoes", "A2B"), ("sat2map", "maps", "A2B"), ("map2sat", "maps", "B2A"),
            ("facades_label2photo", "facades", "B2A"), ("day2night", "day2night", "A2B"),
            prefix="pix2pix_",  # three names are also CycleGAN's
        ),
        *_of(
            "cut", "CUT",
            *((f"{dataset}_{kind}_pretrained", dataset, direction)
              for dataset, direction in (("horse2zebra", "A2B"), ("cat2dog", "A2B"), ("cityscapes", "B2A"))
              for kind in ("cut", "fastcut")),
            file=ARCHIVE,
        ),
    )
}  # fmt: skip
"""Every published generator, by name."""


def weights_cache() -> Path:
    """Return the folder of downloaded weights, below the folder that the environment variable CYCLEGAN_CACHE names."""
    return Path(os.environ.get("CYCLEGAN_CACHE") or "~/.cache/cyclegan").expanduser() / "weights"
