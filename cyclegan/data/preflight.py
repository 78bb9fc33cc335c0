"""A look at the headers of images before training: what they are, and whether all can be used."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from cyclegan.data.reader import Prepared
from cyclegan.data.threads import in_threads
from cyclegan.errors import DataError
from cyclegan.images import ImageError, require_suitable

SHOWN = 5
PATIENCE = 100
"""How many images in a row are tried before a domain is given up: a million would take hours."""


def look_at(prepared: Prepared, count: int, name: str) -> Counter[str]:
    """Reads headers, evenly spread over a domain's images.

    Args:
        prepared: the images.
        count: how many headers at most.
        name: of split and domain, for people: "trainA".

    Returns:
        how many images there are of each mode ("RGB", "L;uint16"), among those looked at.

    Raises:
        DataError: naming images that training would fail at.
    """
    images = prepared.images

    def problem_or_mode(index: int) -> tuple[str, str]:
        path = images[index]
        try:
            header = images.header(index, prepared.pixel_format)
            require_suitable(header, prepared.pixel_format, path, prepared.max_pixels)
            prepared.view.require_room(*prepared.size_of(header))
        except ImageError as error:
            return str(error), ""
        except DataError as error:
            return f"{path}: {error}", ""
        return "", header.mode

    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64))
    modes: Counter[str] = Counter()
    broken: list[str] = []
    found = in_threads(problem_or_mode, chosen.tolist())
    bar = tqdm(found, f"headers of {name}", len(chosen), unit="img", delay=2, leave=False, disable=None)
    for problem, mode in bar:
        if problem:
            broken.append(problem)
        else:
            modes[mode] += 1
    if broken:
        raise DataError(_refusal(broken, len(chosen), name))
    return modes


def stored_type(prepared: Prepared, domain: str) -> str:
    """The type of a domain's pixels, as its first image whose header is in order has it.

    Raises:
        DataError: none of the first images can be used.
    """
    first = None
    for index in range(min(len(prepared.images), PATIENCE)):
        try:
            header = prepared.images.header(index, prepared.pixel_format)
            require_suitable(header, prepared.pixel_format, prepared.images[index], prepared.max_pixels)
        except ImageError as error:
            first = first or error
        else:
            return decoded_type(header.dtype)
    tried = min(len(prepared.images), PATIENCE)
    raise DataError(f"none of the first {tried} images of {domain} can be used. The first: {first}")


def decoded_type(dtype: str) -> str:
    """The type that `images.decode` makes of a file's."""
    if dtype in ("uint8", "uint16", "int16"):
        return dtype
    return "uint8" if dtype == "bool" else "float32"


def _refusal(broken: Sequence[str], looked_at: int, name: str) -> str:
    listed = "".join(f"\n  {reason}" for reason in broken[:SHOWN])
    more = f"\n  and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    return (
        f"{len(broken)} of the {looked_at} images of {name} whose headers were read cannot be used:{listed}{more}\n"
        "Mend them, or let training pass over them: data.on_error=skip. `cyclegan-data check` looks at every pixel"
    )
