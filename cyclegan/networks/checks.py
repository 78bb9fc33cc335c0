"""Checks of network arguments and inputs, with errors that name the remedy."""

from typing import Protocol

from torch import Tensor

from cyclegan.errors import UserError


class ImageNetwork(Protocol):
    """The attributes of a network that processes images (N, in_channels, H, W)."""

    in_channels: int
    minimum_size: int  # smallest height and width
    size_multiple: int  # height and width are multiples of this number


def nearest_size(side: int, *, minimum: int, multiple: int = 1) -> int:
    """Return the multiple of `multiple` nearest to `side` and not below `minimum`."""
    smallest = -(-minimum // multiple) * multiple
    return max(smallest, round(side / multiple) * multiple)


def check_images(network: ImageNetwork, images: Tensor) -> None:
    """Check that images have the shape (N, in_channels, H, W) and a size that the network takes.

    Raises:
        UserError: they have not; the message names their shape and the nearest valid size.
    """
    name, channels = type(network).__name__, network.in_channels
    minimum, multiple = network.minimum_size, network.size_multiple
    if images.ndim != 4:
        raise UserError(f"{name} takes a batch of images (N, {channels}, H, W); this has shape {tuple(images.shape)}")
    _, found, height, width = images.shape
    if found != channels:
        raise UserError(
            f"{name} was built for images of {channels} channels; these have {found}. "
            f"Give images of {channels} channels, or build it for {found}: model.channels has the number of each domain"
        )
    if height % multiple or width % multiple or min(height, width) < minimum:
        sides = f"sides of at least {minimum}" + (f", in multiples of {multiple}" if multiple > 1 else "")
        right = [nearest_size(side, minimum=minimum, multiple=multiple) for side in (height, width)]
        # A training crop is square; other images do not depend on the configuration.
        key = f"data.crop_size={right[0]}" if height == width else "data.crop_size"
        raise UserError(
            f"{name} takes images with {sides}; these are {height} × {width}. The nearest valid size is "
            f"{right[0]} × {right[1]}: in training {key} sets it, with data.load_size no smaller"
        )


def check_at_least(lowest: int, **arguments: int) -> None:
    """Raise a UserError that names the first constructor argument below `lowest`."""
    for name, value in arguments.items():
        if value < lowest:
            raise UserError(f"{name} is {value}; it must be {lowest} or more")
