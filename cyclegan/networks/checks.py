"""Checks of network arguments and inputs, with errors that name the remedy."""

from collections.abc import Sequence

from torch import Tensor

from cyclegan.errors import UserError


def nearest_size(side: int, *, minimum: int, multiple: int = 1) -> int:
    """Return the multiple of `multiple` nearest to `side` and not below `minimum`."""
    smallest = -(-minimum // multiple) * multiple
    return max(smallest, round(side / multiple) * multiple)


def check_images(images: Tensor, *, network: str, channels: int, minimum: int, multiple: int = 1) -> None:
    """Raise an error if a network cannot process a batch of images.

    Args:
        images: the batch, which should have shape (N, channels, H, W).
        network: name of the network, for the error.
        channels: number of channels that the network was built for.
        minimum: smallest height and width.
        multiple: height and width must be multiples of this number.

    Raises:
        UserError: the shape is wrong; the message names it and the nearest valid size.
    """
    if images.ndim != 4:
        raise UserError(
            f"{network} takes a batch of images (N, {channels}, H, W); this has shape {tuple(images.shape)}"
        )
    _, found, height, width = images.shape
    if found != channels:
        raise UserError(
            f"{network} was built for images of {channels} channels; these have {found}. "
            f"Give images of {channels} channels, or build it for {found}: model.channels says how many each domain has"
        )
    if height % multiple or width % multiple or min(height, width) < minimum:
        sides = f"sides of at least {minimum}" + (f", in multiples of {multiple}" if multiple > 1 else "")
        right = [nearest_size(side, minimum=minimum, multiple=multiple) for side in (height, width)]
        # A training crop is square; other images come from a caller who does not go by the configuration.
        key = f"data.crop_size={right[0]}" if height == width else "data.crop_size"
        raise UserError(
            f"{network} takes images with {sides}; these are {height} × {width}. The nearest valid size is "
            f"{right[0]} × {right[1]}: in training {key} sets it, with data.load_size no smaller"
        )


def check_at_least(lowest: int, **arguments: int) -> None:
    """Raise an error if a constructor argument is below `lowest`.

    Raises:
        UserError: an argument is lower; the message names it.
    """
    for name, value in arguments.items():
        if value < lowest:
            raise UserError(f"{name} is {value}; it must be {lowest} or more")


def check_widths(widths: Sequence[int]) -> None:
    """Raise an error if a list of layer widths is empty or has a width below 1.

    Raises:
        UserError: the list is not valid.
    """
    if not widths or min(widths) < 1:
        raise UserError(f"widths is {list(widths)}; it must name one layer or more, each 1 or wider")
