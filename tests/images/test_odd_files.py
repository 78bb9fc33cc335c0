from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cyclegan.images import ImageError, header, header_of, read
from tests.images.odd_files import Odd, odd_files, page

KINDS = odd_files()


@pytest.mark.parametrize("odd", KINDS, ids=lambda odd: odd.kind)
def test_odd_file_is_read_exactly_or_refused(odd: Odd, tmp_path: Path) -> None:
    path = tmp_path / f"image{odd.extension}"
    if isinstance(odd.make, bytes):
        path.write_bytes(odd.make)
    else:
        odd.make(path)
    if isinstance(odd.expected, str):
        with pytest.raises(ImageError, match=odd.expected) as caught:
            read(path, odd.pixel_format)
        assert str(path) in str(caught.value)
        return
    pixels = read(path, odd.pixel_format)
    expected: NDArray[Any] = np.asarray(odd.expected, odd.dtype)
    expected = expected if expected.ndim == 3 else expected[..., np.newaxis]
    assert pixels.dtype == odd.dtype
    assert np.array_equal(pixels, expected), pixels
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    found = header(path, odd.pixel_format)
    transposed = odd.kind == "PNG, EXIF orientation after the pixels"  # which a header does not look for
    assert (found.height, found.width) == (pixels.shape[1::-1] if transposed else pixels.shape[:2])
    assert header_of(path.read_bytes(), str(path), odd.pixel_format) == found


def test_docs_page_of_odd_files_is_current() -> None:
    """Write it by `python -m tests.images.odd_files > docs/odd-files.md`."""
    kinds = {odd.kind for odd in KINDS}
    assert len(kinds) == len(KINDS) > 100
    assert (Path(__file__).parents[2] / "docs" / "odd-files.md").read_text(encoding="utf-8") == page()
