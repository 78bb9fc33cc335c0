import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cyclegan.images import ImageError, PixelFormat, decode, header, header_of, read
from tests.images.hand_made import chunk, interlaced_png, png, shorts
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


@pytest.mark.parametrize("odd", [odd for odd in KINDS if odd.kind.startswith("PNG")], ids=lambda odd: odd.kind)
def test_png_without_imagecodecs(odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    if isinstance(odd.make, bytes) and odd.make[24:25] == b"\x10":  # bits a channel, in IHDR
        odd = odd._replace(expected=r"needs the package imagecodecs.*pip install 'cyclegan\[tiff\]'")
    test_odd_file_is_read_exactly_or_refused(odd, tmp_path)


@pytest.mark.parametrize(
    ("bits", "colours"), [(1, 0), (2, 0), (4, 0), (8, 0), (8, 2), (1, 3), (2, 3), (4, 3), (8, 3), (8, 4), (8, 6)]
)
def test_pillow_and_imagecodecs_decode_a_png_alike(bits: int, colours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(bits + colours)
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    for width, height in product((1, 3, 8, 9), (1, 2)):
        palette = chunk(b"PLTE", random.bytes(3 << bits)) if colours == 3 else b""
        key = {0: shorts(1), 2: shorts(1, 0, 1), 3: random.bytes(1 << bits)}.get(colours)
        for before in (palette, palette + chunk(b"tRNS", key)) if key else (b"",):
            rows = [random.bytes(-(-width * bits * samples // 8)) for _ in range(height)]
            data = png((width, height), bits, colours, rows, before)
            expected = decode(data, "x", PixelFormat(channels=4))
            with monkeypatch.context() as without:
                without.setitem(sys.modules, "imagecodecs", None)
                assert np.array_equal(decode(data, "x", PixelFormat(channels=4)), expected)


def test_interlaced_png_without_imagecodecs_lacks_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    for height, width in product(range(1, 10), repeat=2):
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        assert np.array_equal(decode(interlaced_png(pixels, 2), "x"), pixels)
    with pytest.raises(ImageError, match="too few rows"):
        decode(interlaced_png(pixels, 2, passes=6), "x")


def test_docs_page_of_odd_files_is_current() -> None:
    """Write it by `python -m tests.images.odd_files > docs/odd-files.md`."""
    kinds = {odd.kind for odd in KINDS}
    assert len(kinds) == len(KINDS) > 100
    assert (Path(__file__).parents[2] / "docs" / "odd-files.md").read_text(encoding="utf-8") == page()
