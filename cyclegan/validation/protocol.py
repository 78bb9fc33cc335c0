"""The record that stands beside every metric: of which images, made how, compared with what, by which versions."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cyclegan.data.held_out import HeldOut
from cyclegan.metrics.feature_network import FeatureNetwork
from cyclegan.metrics.perceptual import Lpips
from cyclegan.validation.one_pass import Collection
from cyclegan.validation.per_image import Direction
from cyclegan.validation.summary import LEAST_OF_A_MANIFOLD, NEIGHBOURS, SUBSETS

LIBRARIES = ("cyclegan", "torch", "torchvision", "torchmetrics", "torch-fidelity", "pillow", "imagecodecs", "tifffile")


def protocol(
    held_out: HeldOut,
    directions: Iterable[Direction],
    found: Collection,
    network: FeatureNetwork | None,
    perceptual: Lpips | None,
) -> dict[str, Any]:
    """Plain dictionaries, strings and numbers."""
    domains = held_out.domains
    measured = {domain: len(found.thumbnails.get((domain,), {})) for domain in domains}
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
        "known answers": {
            f"{source}2{target}": f"{answered(found, (source, target))} images" for source, target in directions
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
            "precision, recall": f"{NEIGHBOURS} nearest neighbours, of {LEAST_OF_A_MANIFOLD} images or more",
        }
    if perceptual:
        record["lpips"] = {"of": "input and output, rounded to uint8", **perceptual.protocol}
    record["versions"] = {name: installed(name) for name in LIBRARIES}
    return record


def answered(found: Collection, direction: Direction) -> int:
    """How many images' answers were known."""
    return sum("psnr" in row for (*way, _), row in found.rows.items() if tuple(way) == direction)


def installed(package: str) -> str:
    """The version of a package; cyclegan itself may run without having been installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
