"""cyclegan-demo: trains, translates both ways, and says how near the known answers it came."""

import logging
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan import demo
from cyclegan.demo import Distance, main, measure, run, table
from cyclegan.images import read
from tests.tiny_run import SMALL_NETWORKS

SIDE = 32
TINY = (
    *SMALL_NETWORKS,
    "data.source.train=4",
    "data.source.test=3",
    f"data.source.size={SIDE}",
    f"data.load_size={SIDE}",
    f"data.crop_size={SIDE}",
)


@pytest.fixture(autouse=True)
def this_process_is_not_the_demos(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets warnings and logging of its whole process."""
    monkeypatch.setattr(demo, "quieten", lambda: None)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)


def flat(path: Path, *values: int) -> None:
    """Writes an image of 4 × 4 whose quarters have these grey values, from the top left; one value fills it."""
    quarters = np.array(values if len(values) == 4 else values * 4, np.uint8).reshape(2, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(quarters.repeat(2, axis=0).repeat(2, axis=1)).convert("RGB").save(path)


def test_measure_is_the_mean_psnr_of_pairs_of_the_same_name(tmp_path: Path) -> None:
    flat(tmp_path / "testB" / "x.png", 100)
    flat(tmp_path / "testA" / "x.png", 110)  # copied: off by 10 everywhere
    flat(tmp_path / "out" / "x.png", 101)  # translated: off by 1 everywhere
    flat(tmp_path / "testB" / "y.png", 50)
    flat(tmp_path / "testA" / "y.png", 50, 50, 50, 90)  # off by 40 in a quarter: 1600 / 4 = 400 = 20²
    flat(tmp_path / "out" / "y.png", 54, 46, 54, 46)  # off by 4
    flat(tmp_path / "testB" / "z.png", 0)  # has no translation, and counts for nothing

    distance = measure(tmp_path, tmp_path / "out", ("A", "B"))

    def psnr(off: float) -> float:
        return 20 * math.log10(255 / off)

    assert distance.name == "A2B"
    assert distance.copied == pytest.approx((psnr(10) + psnr(20)) / 2)
    assert distance.translated == pytest.approx((psnr(1) + psnr(4)) / 2)
    assert distance.gain == pytest.approx((20 * math.log10(10) + 20 * math.log10(5)) / 2)


def test_the_table_has_a_line_for_each_direction() -> None:
    lines = table([Distance(("A", "B"), 14.2, 19.75), Distance(("B", "A"), 14.2, 13.0)]).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["A", "→", "B", "14.20", "dB", "19.75", "dB", "+5.55", "dB"],
        ["B", "→", "A", "14.20", "dB", "13.00", "dB", "-1.20", "dB"],
    ]


def test_an_epoch_from_nothing_to_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "run", partial(run, overrides=TINY))
    # A path with characters that mean something to Hydra.
    root, output = tmp_path / "toy set, drawn", tmp_path / "runs [1] = {demo}"
    main(["--data", str(root), "--output", str(output), "--epochs", "1", "--seed", "3"])

    assert sorted(path.name for path in (output / "samples").iterdir()) == ["epoch0000.jpg", "epoch0001.jpg"]
    assert "\nseed: 3\n" in (output / "config.yaml").read_text()
    said = capsys.readouterr().out
    for direction in (("A", "B"), ("B", "A")):
        folder = output / "translated" / "2".join(direction)
        assert [path.name for path in sorted(folder.iterdir())] == ["0000.png", "0001.png", "0002.png"]
        distance = measure(root, folder, direction)
        (line,) = [line for line in said.splitlines() if line.startswith(" → ".join(direction))]
        assert line.split()[3::2] == [f"{distance.copied:.2f}", f"{distance.translated:.2f}", f"{distance.gain:+.2f}"]
        assert 5 < distance.copied < 40
        assert 2 < distance.translated < 40
    assert str(output / "demo.png") in said

    # Three scenes below captions, six columns, everything twice as large.
    page = np.asarray(read(output / "demo.png"))
    grid = page[demo.HEAD :]
    cell = 2 * SIDE + 2
    assert grid.shape == (3 * cell + 2, 6 * cell + 2, 3)
    assert page[: demo.HEAD].min() < 100, "there are captions"
    translated = output / "translated"
    columns = [root / "testA", translated / "A2B", root / "testB", root / "testB", translated / "B2A", root / "testA"]
    for row in range(3):
        for column, folder in enumerate(columns):
            shown = grid[row * cell + 2 : (row + 1) * cell, column * cell + 2 : (column + 1) * cell]
            image = np.asarray(read(folder / f"000{row}.png"))
            assert np.array_equal(shown, image.repeat(2, axis=0).repeat(2, axis=1)), (row, column)


def test_a_folder_that_holds_something_else_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "sea.jpg").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"cyclegan-demo: .*holiday is not empty and does not hold the toy set"):
        main(["--data", str(tmp_path / "holiday"), "--output", str(tmp_path / "run")])
    assert [path.name for path in (tmp_path / "holiday").iterdir()] == ["sea.jpg"]
