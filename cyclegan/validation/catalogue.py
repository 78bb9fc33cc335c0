"""The metrics of held-out images: names, titles, groups, and whether higher or lower is better.

A column is named `<metric>_<variant>_<domains>`: `psnr_ab` is the PSNR of the direction A to B, `kid_spread_ab` the
spread of its KID, `cycle_a` of domain A, and `psnr` without domains the mean over all directions.
"""

from typing import Literal, NamedTuple

Direction = tuple[str, str]
"""Source and target domain."""

VARIANTS = {
    "copied": "untouched input",
    "spread": "spread",
    "real": "of real images",
    "fake": "of translations",
}
"""Titles of the second part of a column's name. copied: the metric of the untranslated input."""


class Group(NamedTuple):
    """Metrics that are shown together."""

    title: str
    note: str


PAIRED = Group(
    "Paired ground truth",
    "Translations of held-out images against their ground truth. Dashed: the untouched input against it.",
)
DISTANCES = Group(
    "Distance to the target domain",
    "Translations against real images of the target domain. Bars: the spread. Dashed: the untouched inputs.",
)
KEPT = Group("Preservation of the input", "Held-out images against their translations and reconstructions.")
DIAGNOSTICS = Group("Diagnostics", "What the alarms watch. Neither higher nor lower is better.")
GROUPS = (PAIRED, DISTANCES, KEPT, DIAGNOSTICS)


class Metric(NamedTuple):
    """A metric of a translator on held-out images."""

    name: str
    title: str
    group: Group
    better: Literal["higher", "lower"] | None = None
    """None: neither. Only metrics with a better side can choose `best.ckpt`."""
    domains: Literal["both", "source", "target"] = "both"
    """The domains of a direction that end the column's name."""
    variants: tuple[str, ...] = ()
    """Keys of VARIANTS."""
    is_headline: bool = False
    """Whether it is shown where there is room for a few metrics."""
    network: Literal["features", "perceptual"] | None = None
    """The pretrained network that it needs."""

    def column(self, direction: Direction, variant: str = "") -> str:
        """Return the name of the column of one direction: `cycle_a`, `kid_spread_ab`."""
        source, target = direction
        of = {"both": direction, "source": (source,), "target": (target,)}[self.domains]
        return "_".join(part for part in (self.name, variant, suffix(*of)) if part)


_METRICS = (
    Metric("psnr", "PSNR, dB", PAIRED, "higher", variants=("copied",), is_headline=True),
    Metric("ssim", "SSIM", PAIRED, "higher", variants=("copied",), is_headline=True),
    Metric("l1", "L1", PAIRED, "lower"),
    Metric("kid", "KID", DISTANCES, "lower", variants=("spread", "copied"), is_headline=True, network="features"),
    Metric("fid", "FID", DISTANCES, "lower", variants=("copied",), is_headline=True, network="features"),
    Metric("precision", "Precision", DISTANCES, "higher", network="features"),
    Metric("recall", "Recall", DISTANCES, "higher", network="features"),
    Metric("lpips", "LPIPS, input to output", KEPT, "lower", is_headline=True, network="perceptual"),
    Metric("cycle", "Cycle L1", KEPT, "lower", "source", is_headline=True),
    Metric("identity", "Identity L1", KEPT, "lower", "target", is_headline=True),
    Metric("change", "Change, L1 to the input", DIAGNOSTICS),
    Metric("luminance", "Luminance correlation", DIAGNOSTICS),
    Metric("variety", "Variety, real images: 1", DIAGNOSTICS),
    Metric("checkerboard", "Checkerboard, dB", DIAGNOSTICS),
    Metric("d", "Discriminator score", DIAGNOSTICS, domains="target", variants=("real", "fake")),
)
METRICS = {metric.name: metric for metric in _METRICS}

SELECTABLE = tuple(name for name, metric in METRICS.items() if metric.better)
"""Metrics that can choose `best.ckpt`, over all directions or, as `psnr_ab`, of one."""

HEADLINES = tuple(name for name, metric in METRICS.items() if metric.is_headline)


class Column(NamedTuple):
    """The parts of a column's name."""

    metric: str
    variant: str
    domains: str
    """`ab`, `a`, or empty for the mean over all."""


def split(column: str) -> Column:
    """Split a column's name, without `val/` or `train/`, into its parts."""
    name, *rest = column.split("_")
    variants = METRICS[name].variants if name in METRICS else ()  # a domain may be called "real"
    variant = rest.pop(0) if rest and rest[0] in variants else ""
    return Column(name, variant, "_".join(rest))


def is_selectable(column: str) -> bool:
    """Return whether a column can choose `best.ckpt`: `kid` and `psnr_ab`, but not `change_ab` or `psnr_copied_ab`."""
    metric, variant, _ = split(column)
    return metric in SELECTABLE and not variant


def higher_is_better(column: str) -> bool:
    """Return whether a higher value of a column is better."""
    metric = METRICS.get(split(column).metric)
    return metric is not None and metric.better == "higher"


def suffix(*domains: str) -> str:
    """Return the domains' part of a column's name: `ab` for A and B, `photo_map` for longer names."""
    return ("" if all(len(domain) == 1 for domain in domains) else "_").join(domains).lower()
