"""ICC profiles: colours of other spaces, such as a phone's Display P3, as sRGB."""

import logging
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:  # needs a moment, and few files a profile
    from PIL.ImageCms import ImageCmsTransform

log = logging.getLogger(__name__)

_TOLERANCE = 4
"""A profile is that of sRGB if it moves no colour by more than this, of 255."""

_MOST = 64
_PROBE = (51 * np.indices((6, 6, 6)).reshape(3, -1, 1).T.reshape(-1, 1, 3)).astype(np.uint8)

_known: dict[tuple[bytes, str], "ImageCmsTransform | None"] = {}


def to_srgb(pixels: NDArray[Any], profile: bytes, name: str) -> NDArray[Any]:
    """Converts the colours of pixels (H, W, 3 or 4) to sRGB; an alpha channel stays.

    Pixels of other types than uint8, and those whose profile cannot be used, are returned as they are; this is logged
    once for each profile. So are pixels whose profile is that of sRGB, without a word.
    """
    key = profile, pixels.dtype.name
    if key not in _known:
        if len(_known) >= _MOST:
            _known.clear()
        _known[key] = _transform(profile, pixels.dtype, name)
    transform = _known[key]
    if transform is None:
        return pixels
    return np.concatenate([_applied(transform, pixels[..., :3]), pixels[..., 3:]], axis=2)


def _transform(profile: bytes, dtype: np.dtype[Any], name: str) -> "ImageCmsTransform | None":
    """What leads to sRGB; None if nothing has to be done or nothing can be."""
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
