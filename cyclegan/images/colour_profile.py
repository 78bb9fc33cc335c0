"""Convert colours with an ICC profile, such as a phone's Display P3, to sRGB."""

import logging
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:  # slow to import, and few files have a profile
    from PIL.ImageCms import ImageCmsTransform

log = logging.getLogger(__name__)

_TOLERANCE = 4
"""A profile that moves no colour by more than this, of 255, is taken for sRGB."""

_CACHE_SIZE = 64
_PROBE = (51 * np.indices((6, 6, 6)).reshape(3, -1, 1).T.reshape(-1, 1, 3)).astype(np.uint8)

_known: dict[tuple[bytes, str], "ImageCmsTransform | None"] = {}


def to_srgb(pixels: NDArray[Any], profile: bytes, name: str) -> NDArray[Any]:
    """Convert pixels (H, W, 3 or 4) of type uint8 to sRGB; an alpha channel stays unchanged.

    Pixels of another type, or with an unusable profile, are returned unchanged, with one warning for each profile.
    """
    key = profile, pixels.dtype.name
    if key not in _known:
        if len(_known) >= _CACHE_SIZE:
            _known.clear()
        _known[key] = _transform(profile, pixels.dtype, name)
    transform = _known[key]
    if transform is None:
        return pixels
    return np.concatenate([_applied(transform, pixels[..., :3]), pixels[..., 3:]], axis=2)


def _transform(profile: bytes, dtype: np.dtype[Any], name: str) -> "ImageCmsTransform | None":
    """Build the transform to sRGB; None if the profile is sRGB or cannot be used."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")
        moved = np.abs(_applied(transform, _PROBE).astype(int) - _PROBE).max()
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        log.warning("profile   %s: its ICC profile cannot be used, so its colours are taken for sRGB (%s)", name, error)
        return None
    if moved <= _TOLERANCE:
        return None
    if dtype != np.uint8:
        log.warning("profile   %s: its ICC profile is not applied to %s, so its colours are taken for sRGB; save it as "
                    "sRGB if that is wrong", name, dtype)  # fmt: skip
        return None
    return transform


def _applied(transform: "ImageCmsTransform", colours: NDArray[Any]) -> NDArray[Any]:
    image = Image.fromarray(np.ascontiguousarray(colours))
    return np.asarray(transform.apply(image))
