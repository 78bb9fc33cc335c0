"""The names of the metrics, and which way is better."""

HIGHER_IS_BETTER = ("psnr", "ssim", "precision", "recall")
"""Of the other metrics, less is better."""


JUDGED_BY = ("psnr", "ssim", "l1", "cycle", "identity", "fid", "kid", "precision", "recall", "lpips")
"""Metrics that have a better side, and a mean over both directions or domains."""


def judges_a_run(name: str) -> bool:
    """Whether a metric has a better side: `kid`, `psnr_ab`, and not `change_ab` or `psnr_copied_ab`."""
    stem, _, rest = name.partition("_")
    return stem in JUDGED_BY and not rest.startswith(("copied", "spread"))


def higher_is_better(name: str) -> bool:
    """Whether more of a metric is better: `psnr`, or of one direction `psnr_ab`."""
    return name.partition("_")[0] in HIGHER_IS_BETTER


def suffix(*domains: str) -> str:
    """What a metric's name ends in: `ab` of the direction A to B, `a` of domain A, `photo_map` of longer names."""
    return ("" if all(len(domain) == 1 for domain in domains) else "_").join(domains).lower()
