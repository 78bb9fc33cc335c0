"""Sample grids: schedule, content, and no effect on training."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cyclegan.callbacks.ema import Ema
from cyclegan.callbacks.image_grid import ImageGrid
from cyclegan.errors import UserError
from cyclegan.images import read
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.optim import Constant
from tests.small import small_cyclegan
from tests.tiny_run import differences
from tests.toy_runs import fit_small, fit_toy, toy_data

SIDE, GAP = 16, 2  # size of an image, and the white gap between two


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "samples").iterdir())


def cells(path: Path) -> NDArray[np.float64]:
    """The images of a grid: (rows, columns, SIDE, SIDE, 3)."""
    grid = np.asarray(read(path)).astype(np.float64)
    rows, columns = (length // (SIDE + GAP) for length in grid.shape[:2])
    assert grid.shape == (rows * (SIDE + GAP) + GAP, columns * (SIDE + GAP) + GAP, 3)
    framed = grid[GAP:, GAP:].reshape(rows, SIDE + GAP, columns, SIDE + GAP, 3).swapaxes(1, 2)
    return framed[:, :, :SIDE, :SIDE]


def as_pixels(images: Tensor) -> NDArray[np.float64]:
    """(N, 3, H, W) in [-1, 1] as (N, H, W, 3) in 0..255."""
    pixels: NDArray[np.float64] = ((images.double() + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).numpy()
    return pixels


def test_draws_before_training_every_n_epochs_and_at_the_end(tmp_path: Path) -> None:
    fit_small(tmp_path, ImageGrid(str(tmp_path), every_n_epochs=2), max_epochs=3)
    assert names(tmp_path) == ["epoch0000.jpg", "epoch0002.jpg", "epoch0003.jpg"]


def test_a_resumed_run_does_not_draw_the_start_again(tmp_path: Path) -> None:
    data = toy_data(tmp_path / "toy", train=2)
    fit_toy(small_cyclegan(), data).save_checkpoint(tmp_path / "first.ckpt")
    fit_toy(small_cyclegan(), data, ImageGrid(str(tmp_path)), max_epochs=2, resume=tmp_path / "first.ckpt")
    assert names(tmp_path) == ["epoch0002.jpg"]


def test_shows_a_row_for_each_test_image_and_a_column_for_each_visual(tmp_path: Path) -> None:
    model, data = small_cyclegan(), toy_data(tmp_path / "toy", test=3)
    fit_toy(model, data, ImageGrid(str(tmp_path), count=2))

    real = data.sample_batch(2)
    with torch.no_grad():
        model.eval()
        fake_b, fake_a = model.gen_ab(real["A"]), model.gen_ba(real["B"])
        columns = [real["A"], fake_b, model.gen_ba(fake_b), real["B"], fake_a, model.gen_ab(fake_a)]
    found = cells(tmp_path / "samples" / "epoch0001.jpg")
    assert found.shape[:2] == (2, 6)
    for i, column in enumerate(columns):
        assert np.abs(found[:, i] - as_pixels(column)).mean() < 8, f"column {i} differs by more than JPEG loss"
    # The tolerance distinguishes columns: input and translation differ far more.
    assert np.abs(as_pixels(columns[0]) - as_pixels(columns[1])).mean() > 20


def test_shows_averaged_weights(tmp_path: Path) -> None:
    ema = Ema(0.99)
    model = small_cyclegan(schedule=Constant(), optimizer=partial(torch.optim.Adam, lr=3e-2))
    data = toy_data(tmp_path / "toy")
    fit_toy(model, data, ema, ImageGrid(str(tmp_path)), max_epochs=3)

    real = data.sample_batch(4)["A"]
    with torch.no_grad():
        own = as_pixels(model.eval().gen_ab(real))
        average = as_pixels(ema.average["gen_ab"].eval()(real))
    shown = cells(tmp_path / "samples" / "epoch0003.jpg")[:, 1]
    assert np.abs(shown - average).mean() < 8
    assert np.abs(shown - own).mean() > 16


def test_grids_do_not_change_training_with_dropout(tmp_path: Path) -> None:
    def trained(*callbacks: Any) -> tuple[CycleGAN, Tensor]:
        generator = partial(ResnetGenerator, width=4, blocks=1, dropout=0.5)
        model = small_cyclegan(generator=generator, pool_size=3)
        torch.manual_seed(7)
        fit_toy(model, toy_data(tmp_path / "toy"), *callbacks, max_epochs=2)
        return model, torch.get_rng_state()

    plain, plain_rng = trained()
    watched, watched_rng = trained(ImageGrid(str(tmp_path)))
    assert watched_rng.equal(plain_rng)
    assert differences(watched.state_dict(), plain.state_dict()) == []
    assert all(module.training for module in watched.modules()), "dropout is on again"


def test_draws_in_the_precision_of_the_run(tmp_path: Path) -> None:
    data = toy_data(tmp_path / "toy", train=2)
    fit_toy(small_cyclegan(), data, ImageGrid(str(tmp_path)), precision="bf16-true")
    originals = as_pixels(data.sample_batch(3)["A"])
    # bfloat16 has 8 bits: an error of 1.5 of 255 at most, besides JPEG loss.
    assert np.abs(cells(tmp_path / "samples" / "epoch0001.jpg")[:, 0] - originals).mean() < 8


def test_refuses_arguments_out_of_range() -> None:
    with pytest.raises(UserError, match="every_n_epochs is 0 and count is 4"):
        ImageGrid("run", every_n_epochs=0)
