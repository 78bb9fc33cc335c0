"""Selection of best.ckpt by a validation metric, also after a resume."""

import math
from pathlib import Path

import pytest
import pytorch_lightning as pl

from cyclegan.callbacks import checkpointing
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.checkpoint.reading import newest_intact, read
from cyclegan.errors import UserError
from tests.callbacks.given_metrics import GivenMetrics, psnrs
from tests.small import small_cyclegan
from tests.tiny_run import StopAt, StoppedError, differences
from tests.toy_runs import FullDisk, fit_toy, logged, toy_data

pytestmark = pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*")  # as the command does

IMAGES = 6  # an epoch of toy_data: three batches of two


def run(
    folder: Path,
    metrics: GivenMetrics,
    *others: pl.Callback,
    resume: Path | None = None,
    best: str | None = "psnr",
    every_n_epochs: int | None = 1,
) -> None:
    saving = Checkpointing(
        str(folder), best=best, every_n_epochs=every_n_epochs, every_n_minutes=None, keep_every_n_epochs=None
    )
    callbacks = (metrics, *others, saving)
    fit_toy(small_cyclegan(), toy_data(folder.parent / "toy"), *callbacks, resume=resume, max_epochs=len(metrics.given))


def checkpoint(folder: Path, name: str = "best.ckpt") -> Path:
    return folder / "checkpoints" / name


def epoch_of_best(folder: Path) -> int:
    """Epochs of the weights in best.ckpt, by their position."""
    return int(read(checkpoint(folder))["ImageDataModule"]["position"]) // IMAGES


def remembered(path: Path) -> dict[str, object] | None:
    found: dict[str, object] | None = read(path)["callbacks"].get("Checkpointing", {}).get("best")
    return found


@pytest.mark.parametrize(
    ("metric", "values", "epoch"),
    [
        ("psnr", [20.0, 22.0, 22.0], 2),  # an equal value is no improvement
        ("kid", [0.3, 0.1, 0.2], 2),  # lower is better
        ("psnr", [math.nan, 20.0, math.inf], 2),
        ("val/psnr", [20.0, 19.0, 21.0], 3),  # as metrics.csv calls it
    ],
)
def test_best_ckpt_has_the_best_finite_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, metric: str, values: list[float], epoch: int
) -> None:
    name = metric.removeprefix("val/")
    with caplog.at_level("INFO", checkpointing.__name__):
        run(tmp_path / "run", GivenMetrics(*({name: value} for value in values)), best=metric)
    assert epoch_of_best(tmp_path / "run") == epoch
    value = values[epoch - 1]
    entry = {"metric": name, "value": value, "epoch": epoch, "images": IMAGES * epoch, "protocol": ""}
    assert remembered(checkpoint(tmp_path / "run")) == entry, "best.ckpt records its own value"
    assert remembered(checkpoint(tmp_path / "run", "last.ckpt")) == entry
    path = checkpoint(tmp_path / "run")
    assert logged(caplog)[-1] == f"best      {name} {value:.4g} at epoch {epoch} → {path}"


def test_best_ckpt_is_written_between_periodic_checkpoints_and_never_pruned_or_resumed(tmp_path: Path) -> None:
    run(tmp_path / "run", psnrs(20.0, 23.0, 21.0, 22.0, 21.0), every_n_epochs=None)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    # Epochs 1 and 2 improve the metric, epoch 5 is the last; the newest two checkpoints are kept.
    assert names == ["best.ckpt", "epoch0005.ckpt", "images000000012.ckpt", "images000000030.ckpt", "last.ckpt"]
    run(tmp_path / "pruned", psnrs(20.0, 23.0, 21.0, 22.0, 21.0))
    assert epoch_of_best(tmp_path / "pruned") == 2
    assert checkpoint(tmp_path / "pruned").stat().st_nlink == 1, "no other name links to the file"
    folder = tmp_path / "pruned" / "checkpoints"
    for path in [*folder.glob("images0*"), *folder.glob("epoch*"), folder / "last.ckpt"]:
        path.unlink()
    assert newest_intact(folder) is None


@pytest.mark.parametrize("asked", ["psrn", "variety_ab", "psnr_copied_ab"])
def test_a_metric_without_a_better_side_is_refused(asked: str) -> None:
    with pytest.raises(UserError, match=f"callbacks.checkpointing.best is {asked}; it can be one of psnr, ssim"):
        Checkpointing("run", best=asked)


def test_metrics_of_another_protocol_are_not_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "run"
    run(folder, psnrs(20.0, 25.0))
    metrics = GivenMetrics(*({"psnr": value} for value in (20.0, 25.0, 21.0, 22.0, 21.5)), protocol="another")
    with caplog.at_level("INFO", "cyclegan"):
        run(folder, metrics, resume=checkpoint(folder, "last.ckpt"))
    assert epoch_of_best(folder) == 4
    assert sum("under another protocol" in line for line in caplog.messages) == 1


def test_without_validation_or_metric_no_best_ckpt_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path / "not_asked", psnrs(20.0, 21.0), best=None)
    run(tmp_path / "no_validation", GivenMetrics(None))
    assert logged(caplog) == ["best      there will be no best.ckpt: no validation measures psnr"]
    assert not list(tmp_path.glob("*/checkpoints/best.ckpt"))


METRICS = (20.0, 22.0, 21.0, 23.0, 22.5)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run with its best metric at epoch 4."""
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    run(folder, psnrs(*METRICS))
    return folder


@pytest.mark.parametrize("step", [6, 11])  # batches; three are an epoch
def test_a_resumed_run_writes_the_same_best_and_last_checkpoint(uninterrupted: Path, tmp_path: Path, step: int) -> None:
    with pytest.raises(StoppedError):
        run(tmp_path / "run", psnrs(*METRICS), StopAt("on_train_batch_start", step))
    run(tmp_path / "run", psnrs(*METRICS), resume=checkpoint(tmp_path / "run", "last.ckpt"))
    for name in ("best.ckpt", "last.ckpt"):
        one, other = read(checkpoint(tmp_path / "run", name)), read(checkpoint(uninterrupted, name))
        assert differences(one, other) == []


def test_a_best_that_could_not_be_written_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FullDisk(monkeypatch, 2)
    run(tmp_path / "run", psnrs(20.0, 23.0, 22.0))
    assert epoch_of_best(tmp_path / "run") == 3, "22 dB is the best of the checkpoints that exist"


def test_a_run_that_resumes_from_an_earlier_checkpoint_keeps_its_best_until_a_better_one(tmp_path: Path) -> None:
    run(tmp_path / "run", psnrs(20.0, 22.0, 21.0, 23.0))
    earlier = checkpoint(tmp_path / "run", "images000000018.ckpt")  # by then, epoch 2 was the best
    run(tmp_path / "run", psnrs(0, 0, 0, 21.5), resume=earlier)
    assert epoch_of_best(tmp_path / "run") == 4
    run(tmp_path / "run", psnrs(0, 0, 0, 0, 22.5), resume=checkpoint(tmp_path / "run", "last.ckpt"))
    assert epoch_of_best(tmp_path / "run") == 5


def test_a_run_resumed_into_another_folder_has_no_earlier_best(uninterrupted: Path, tmp_path: Path) -> None:
    run(tmp_path / "branch", psnrs(0, 0, 0, 0, 0, 1.0), resume=checkpoint(uninterrupted, "last.ckpt"))
    assert epoch_of_best(tmp_path / "branch") == 6


def test_another_metric_is_not_compared_with_the_old_one(
    uninterrupted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = checkpoint(uninterrupted, "last.ckpt")
    kids = GivenMetrics(*({"kid": 99.0},) * 6)  # larger than every PSNR so far, and lower is better
    with caplog.at_level("INFO", "cyclegan"):
        run(tmp_path / "run", kids, resume=last, best="kid")
    assert "best      compares kid from here on; the run so far compared psnr" in caplog.messages
    entry = remembered(checkpoint(tmp_path / "run"))
    assert entry == {"metric": "kid", "value": 99.0, "epoch": 6, "images": 6 * IMAGES, "protocol": ""}
