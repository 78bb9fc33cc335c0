"""Which sample grids a page carries."""

import base64
from pathlib import Path

import pytest

from cyclegan.report import samples
from cyclegan.report.samples import embed, evenly
from tests.report.run_folders import jpeg


def grids(folder: Path, count: int) -> dict[int, Path]:
    """Grids of epochs 0, 1, 2 and so on."""
    files = {epoch: folder / f"epoch{epoch:04d}.jpg" for epoch in range(count)}
    for path in files.values():
        path.write_bytes(jpeg("tan"))
    return files


def test_even_steps_from_the_first_to_the_last() -> None:
    assert evenly(list(range(101)), 5) == [0, 25, 50, 75, 100]
    assert evenly([1, 2, 3], 5) == [1, 2, 3]
    assert evenly(list(range(10)), 2) == [0, 9]


def test_the_files_own_bytes_are_carried(tmp_path: Path) -> None:
    files = grids(tmp_path, 2)
    assert [base64.b64decode(image.base64) for image in embed(files)] == [
        files[0].read_bytes(),
        files[1].read_bytes(),
    ]


def test_two_hundred_grids_become_forty(tmp_path: Path) -> None:
    epochs = [image.epoch for image in embed(grids(tmp_path, 200))]
    assert len(epochs) == 40
    assert (epochs[0], epochs[-1]) == (0, 199)


def test_large_grids_become_fewer_but_never_less_than_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = grids(tmp_path, 10)
    size = files[0].stat().st_size
    monkeypatch.setattr(samples, "MAX_BYTES", 4 * size)
    assert [image.epoch for image in embed(files)] == [0, 3, 6, 9]
    monkeypatch.setattr(samples, "MAX_BYTES", size // 2)
    assert [image.epoch for image in embed(files)] == [0, 9]


def test_what_is_no_whole_jpeg_is_left_out(tmp_path: Path) -> None:
    files = grids(tmp_path, 4)
    files[1].write_bytes(b"")
    files[2].write_bytes(jpeg("tan")[:-20])
    files[3].unlink()
    assert [image.epoch for image in embed(files)] == [0]
