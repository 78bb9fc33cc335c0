"""What the names of metrics mean: `kid_spread_ab` is the spread of the KID of the direction A→B."""

from typing import NamedTuple

VARIANTS = ("copied", "spread", "real", "fake")
"""copied: of the untouched inputs; spread: of the metric itself; real, fake: the images that were judged."""


class Name(NamedTuple):
    """A metric's name in its parts."""

    stem: str
    variant: str
    direction: str
    """`ab`, `a`, or empty for the mean of all."""


class Group(NamedTuple):
    """Metrics that are shown together."""

    title: str
    note: str
    stems: tuple[str, ...]


TITLES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "l1": "L1 to the known answer",
    "kid": "KID",
    "fid": "FID",
    "precision": "Precision",
    "recall": "Recall",
    "lpips": "LPIPS, input to output",
    "cycle": "Cycle L1",
    "identity": "Identity L1",
    "change": "Change, L1 to the input",
    "luminance": "Luminance, output with input",
    "variety": "Variety of the outputs, 1 as real ones",
    "checkerboard": "Checkerboard, dB above real images",
    "realness": "Realness as the discriminators see it",
    "adv": "Adversarial",
    "disc": "Discriminators",
    "penalty": "Penalty of the discriminators",
}

GROUPS = (
    Group(
        "Known answers",
        "Held-out images against the right answer. Dashed: the untouched input against it.",
        ("psnr", "ssim", "l1"),
    ),
    Group(
        "Distances to the target domain",
        "Translated images against real ones of the target. Bars: the spread. Dashed: the untouched inputs.",
        ("kid", "fid", "precision", "recall"),
    ),
    Group("What a translation keeps", "Held-out images there and back.", ("cycle", "identity", "lpips")),
)

SYMPTOMS = Group(
    "Symptoms",
    "What the alarms watch; none of these is good or bad by itself.",
    ("change", "luminance", "variety", "checkerboard", "realness"),
)

MAIN = ("psnr", "ssim", "kid", "fid", "lpips", "cycle", "identity")
"""The metrics that stand at the top of the page, if they were measured."""


def split(name: str) -> Name:
    """Takes a name, without `val/` or `train/`, apart."""
    stem, *rest = name.split("_")
    variant = rest.pop(0) if rest and rest[0] in VARIANTS else ""
    return Name(stem, variant, "_".join(rest))


def title(stem: str) -> str:
    """The heading of a metric's curve."""
    return TITLES.get(stem, stem)


def arrow(direction: str) -> str:
    """`ab` as A→B, `a` as A; longer names of domains as they are."""
    return "→".join(direction.upper()) if len(direction) <= 2 else direction


def full(name: str) -> str:
    """A metric's name for people: `PSNR, dB · A→B`."""
    stem, variant, direction = split(name)
    return " · ".join(part for part in (title(stem), variant, arrow(direction)) if part)
