"""Tables of held-out images: their rows, empty cells, and no effect on training."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cyclegan.callbacks.ema import Ema
from cyclegan.callbacks.image_table import ImageTable
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.errors import UserError
from cyclegan.images.tensors import to_view
from cyclegan.loggers.metrics_csv import MetricsCsv
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.optim import Constant
from tests.callbacks.given_metrics import psnrs
from tests.small import small_cyclegan
from tests.tiny_run import differences
from tests.toy_runs import fit_toy, toy_data


class Tables(MetricsCsv):
    """Store the rows of every table, by the number of images seen."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__(str(run_dir))
        self.found: dict[int, list[list[Any]]] = {}

    def log_image_table(self, key: str, columns: list[str], rows: list[list[Any]], step: int) -> None:
        assert all(len(row) == len(columns) for row in rows)
        self.found[step] = rows


def table(folder: Path, model: CycleGAN, data: ImageDataModule, *callbacks: Any, count: int = 4) -> list[list[Any]]:
    """Train an epoch of six images and validate it; return the rows."""
    logger = Tables(folder)
    fit_toy(model, data, *callbacks, psnrs(10, 20), ImageTable(count), logger=logger)
    assert list(logger.found) == [0, 6], "before training and after the epoch"
    return logger.found[6]


def held_out_images(data: ImageDataModule, domain: str, count: int) -> Tensor:
    held_out = data.held_out(count)
    assert held_out is not None
    return torch.stack([held_out.image(domain, index) for index in held_out.indices[domain]])  # type: ignore[misc]


def difference(cells: list[Any], images: Tensor) -> float:
    """Mean difference of cells from images (N, 3, H, W), in grey levels."""
    views = [to_view(image).astype(float) for image in images]
    return float(np.mean([np.abs(cell - view) for cell, view in zip(cells, views, strict=True)]))


def test_a_row_for_each_image_and_direction(tmp_path: Path) -> None:
    model, data = small_cyclegan(), toy_data(tmp_path / "toy", test=3)
    rows = table(tmp_path, model, data, count=2)
    assert [row[:2] for row in rows] == [
        ["A→B", "0000.png"], ["A→B", "0001.png"], ["B→A", "0000.png"], ["B→A", "0001.png"],
    ]  # fmt: skip
    a, b = (held_out_images(data, domain, 2) for domain in "AB")
    with torch.no_grad():
        model.eval()
        fake_b, fake_a = model.gen_ab(a), model.gen_ba(b)
        expected = [[a, fake_b, model.gen_ba(fake_b), b], [b, fake_a, model.gen_ab(fake_a), a]]
    for direction, columns in enumerate(expected):
        for place, images in enumerate(columns):
            cells = [row[2 + place] for row in rows[2 * direction : 2 * direction + 2]]
            assert {(cell.shape, str(cell.dtype)) for cell in cells} == {((16, 16, 3), "uint8")}
            assert difference(cells, images) < 0.1


def test_cells_are_empty_without_ground_truth_and_way_back(tmp_path: Path) -> None:
    model, data = small_cyclegan(), toy_data(tmp_path / "toy")
    model.directions, data.pairing = (("A", "B"),), "none"
    rows = table(tmp_path, model, data)
    assert [row[0] for row in rows] == ["A→B"] * 3
    assert [row[4:] for row in rows] == [[None, None]] * 3


def test_ground_truth_is_the_image_of_the_same_name(tmp_path: Path) -> None:
    data = toy_data(tmp_path / "toy")
    data.prepare_data()
    (tmp_path / "toy" / "testA" / "0000.png").unlink()  # the first of A is now the second of B
    rows = {(direction, name): cells for direction, name, *cells in table(tmp_path, small_cyclegan(), data)}
    assert rows["B→A", "0000.png"][3] is None
    for name in ("0001.png", "0002.png"):
        (a, *_, of_a), (b, *_, of_b) = rows["A→B", name], rows["B→A", name]
        assert np.array_equal(of_a, b)
        assert np.array_equal(of_b, a)


def test_shows_averaged_weights(tmp_path: Path) -> None:
    ema = Ema(0.99)
    model = small_cyclegan(schedule=Constant(), optimizer=partial(torch.optim.Adam, lr=0.1))
    data = toy_data(tmp_path / "toy")
    cells = [row[3] for row in table(tmp_path, model, data, ema) if row[0] == "A→B"]
    real = held_out_images(data, "A", 4)
    with torch.no_grad():
        assert difference(cells, ema.average["gen_ab"].eval()(real)) < 0.1
        assert difference(cells, model.eval().gen_ab(real)) > 8


def test_an_unreadable_image_has_no_row(tmp_path: Path) -> None:
    data = toy_data(tmp_path / "toy")
    data.prepare_data()
    data.on_error = "skip"
    (tmp_path / "toy" / "testA" / "0001.png").write_bytes(b"no image")
    rows = table(tmp_path, small_cyclegan(), data)
    assert [row[1] for row in rows if row[0] == "A→B"] == ["0000.png", "0002.png"]


def test_tables_do_not_change_training_with_dropout(tmp_path: Path) -> None:
    def trained(name: str, *callbacks: Any) -> tuple[Any, Tensor]:
        torch.manual_seed(7)
        model = small_cyclegan(generator=partial(ResnetGenerator, width=4, blocks=1, dropout=0.5))
        logger = Tables(tmp_path / name)
        fit_toy(model, toy_data(tmp_path / "toy"), psnrs(10, 20), *callbacks, logger=logger)
        return model.state_dict(), torch.get_rng_state()

    assert differences(trained("without"), trained("with", ImageTable())) == []


def test_refuses_no_images() -> None:
    with pytest.raises(UserError, match=r"callbacks\.image_table\.count is 0"):
        ImageTable(count=0)
