"""The protocol of a measurement: the images, the networks, the settings and the versions of libraries."""

from collections.abc import Iterable
from typing import Any

from cyclegan.data.held_out import HeldOut
from cyclegan.metrics.feature_network import FeatureNetwork, version_of
from cyclegan.metrics.perceptual import Lpips
from cyclegan.validation.catalogue import Direction
from cyclegan.validation.one_pass import Collection
from cyclegan.validation.summary import MIN_PRECISION, NEIGHBOURS, SUBSETS

LIBRARIES = ("cyclegan", "torch", "torchvision", "torchmetrics", "torch-fidelity", "pillow", "imagecodecs", "tifffile")


def protocol(
    held_out: HeldOut,
    directions: Iterable[Direction],
    found: Collection,
    network: FeatureNetwork | None,
    perceptual: Lpips | None,
) -> dict[str, Any]:
    """Return the protocol as plain values; metrics under different protocols cannot be compared."""
    domains = held_out.domains
    measured = {domain: sum(of == domain for of, _ in found.real) for domain in domains}
    unreadable = {domain: len(held_out.indices[domain]) - measured[domain] for domain in domains}
    record: dict[str, Any] = {
        "images": {
            "split": held_out.split,
            **{domain: held_out.describe(domain, unreadable[domain]) for domain in domains},
            "unreadable": unreadable,
            "size": held_out.size,
            "load_size": held_out.view.load_size,
            "resize": held_out.view.resize,
            "crop_size": held_out.view.crop_size,
            "filter": "torch, bicubic, antialias, on the file's own type",
        },
        "pairing": held_out.paired,
        "paired ground truth": {
            f"{source}2{target}": f"{_compared(found, (source, target))} images" for source, target in directions
        },
        "psnr": "mean over images, both rounded to uint8, peak 255",
        "ssim": "mean over images and channels, both rounded to uint8; Gaussian window of 11, sigma 1.5",
        "l1": "mean over images, both rounded to uint8, in units of images in [-1, 1]",
        "cycle, identity, change": "mean absolute difference of images in [-1, 1], unweighted",
    }
    if network:
        record["distances"] = {
            "features": {**network.protocol, "digest": network.digest()[:16]},
            "images": "rounded to uint8, RGB",
            **{
                f"{source}2{target}": f"{measured[source]} translations of {held_out.split}{source} against "
                f"{measured[target]} real images of {held_out.split}{target}"
                for source, target in directions
            },
            "fid": "Fréchet distance, float64, unbiased covariances",
            "kid": "unbiased squared MMD over all images, kernel (x·y/D + 1)³",
            "kid_spread": f"standard deviation over {SUBSETS} random halves",
            "precision, recall": f"{NEIGHBOURS} nearest neighbours, of {MIN_PRECISION} images or more",
        }
    if perceptual:
        record["lpips"] = {"of": "input and output, rounded to uint8", **perceptual.protocol}
    record["versions"] = {name: version_of(name) or "not installed" for name in LIBRARIES}
    return record


def _compared(found: Collection, direction: Direction) -> int:
    return sum("psnr" in row for (way, _), row in found.translated.items() if way == direction)
