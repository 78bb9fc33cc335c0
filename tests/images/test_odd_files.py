import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cyclegan.images import ImageError, header, header_of, read
from tests.images.odd_files import Odd, odd_files

KINDS = odd_files()
TABLE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.mark.parametrize("odd", KINDS, ids=lambda odd: odd.kind)
def test_an_odd_file_is_read_exactly_or_refused_with_a_reason(odd: Odd, tmp_path: Path) -> None:
    path = tmp_path / f"image{odd.ending}"
    odd.make(path)
    if odd.kind == "File that may not be read" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    if odd.error:
        with pytest.raises(ImageError, match=odd.error) as caught:
            read(path, odd.pixel_format)
        assert str(path) in str(caught.value)
        return
    pixels = read(path, odd.pixel_format)
    expected: NDArray[Any] = np.asarray(odd.pixels, odd.dtype)
    expected = expected if expected.ndim == 3 else expected[..., np.newaxis]
    assert pixels.dtype == odd.dtype
    assert np.array_equal(pixels, expected), pixels
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    # What the header promises is what comes, but for EXIF that stands behind all that is read of it.
    promised = header(path)
    turns = odd.kind == "PNG, turned by EXIF behind its pixels"
    assert (promised.height, promised.width) == (pixels.shape[1::-1] if turns else pixels.shape[:2])
    assert header_of(path.read_bytes(), str(path)) == promised
    assert promised.dtype in (pixels.dtype, "float16", "float64", "int8", "int32", "uint32")


def test_there_are_many_kinds_each_with_a_name_of_its_own() -> None:
    assert len({odd.kind for odd in KINDS}) == len(KINDS) >= 100


def test_the_documentation_lists_the_same_kinds() -> None:
    section = TABLE.read_text(encoding="utf-8").partition("## Odd files")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")]
    assert rows[0] == "Kind"
    assert rows[1:] == [odd.kind for odd in KINDS]
