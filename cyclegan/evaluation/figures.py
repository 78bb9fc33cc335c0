"""The names of the figures, and which way is better."""

HIGHER_IS_BETTER = ("psnr", "ssim", "precision", "recall")
"""Of the other figures, less is better."""


def higher_is_better(name: str) -> bool:
    """Whether more of a figure is better: `psnr`, or of one direction `psnr_ab`."""
    return name.partition("_")[0] in HIGHER_IS_BETTER


def suffix(*domains: str) -> str:
    """What a figure's name ends in: `ab` of the direction A to B, `a` of domain A, `photo_map` of longer names."""
    return ("" if all(len(domain) == 1 for domain in domains) else "_").join(domains).lower()
