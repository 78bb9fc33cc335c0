"""Validation during training: schedule, weights, and metrics that cannot be measured."""

import csv
import json
import logging
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

import cyclegan
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.image_grid import ImageGrid
from cyclegan.callbacks.validation import Validated, Validation
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.errors import UserError
from cyclegan.loggers.metrics_csv import MetricsCsv
from cyclegan.train.command import train
from cyclegan.validation.evaluate import evaluate
from tests.callbacks.given_metrics import Listener
from tests.small import small_cyclegan
from tests.tiny_run import StopAt, StoppedError, composed, differences
from tests.toy_runs import fit_small, fit_toy, toy_data
from tests.validation.networks import Projection, Unobtainable


def rows(run_dir: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv that hold values of a validation."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("val/cycle")]


def test_listeners_are_called_in_the_order_of_the_callbacks(tmp_path: Path) -> None:
    calls: list[str] = []

    class Named(Listener):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_validated(self, trainer: pl.Trainer, pl_module: pl.LightningModule, validated: Validated) -> None:
            calls.append(self.name)

    callbacks = (Named("first"), Validation(str(tmp_path)), Named("second"))
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), *callbacks)
    assert calls == ["first", "second"] * 2


def test_validation_does_not_change_training(tmp_path: Path) -> None:
    validated, plain = (small_cyclegan(seed=3) for _ in range(2))
    validation = Validation(str(tmp_path), every_n_epochs=1, features=Projection())
    for model, callbacks in ((validated, [validation]), (plain, [])):
        torch.manual_seed(1)
        fit_toy(model, toy_data(tmp_path / "toy"), *callbacks, max_epochs=2)
    assert differences(validated.state_dict(), plain.state_dict()) == []
    assert validated.training


def test_validates_before_training_every_n_epochs_and_at_the_end(tmp_path: Path) -> None:
    validation = Validation(str(tmp_path), every_n_epochs=2)
    logger = MetricsCsv(str(tmp_path))
    listener = Listener()
    fit_small(tmp_path, validation, listener, max_epochs=5, logger=logger)
    assert [(each.epoch, each.images) for each in listener.validated] == [(0, 0), (2, 12), (4, 24), (5, 30)]
    assert len({each.protocol for each in listener.validated}) == 1
    found = rows(tmp_path)
    assert [(row["images_seen"], row["epoch"]) for row in found] == [
        ("0", "0.0"), ("12", "2.0"), ("24", "4.0"), ("30", "5.0"),
    ]  # fmt: skip
    assert float(found[-1]["val/cycle"]) == listener.metrics["cycle"]
    tables = sorted(path.name for path in (tmp_path / "validation").glob("*.csv"))
    assert tables == [f"epoch{epoch:04d}.csv" for epoch in (0, 2, 4, 5)]
    with (tmp_path / "validation" / "epoch0005.csv").open(newline="") as file:
        images = list(csv.DictReader(file))
    mean = sum(float(row["psnr"]) for row in images if row["direction"] == "A2B") / 3
    assert float(found[-1]["val/psnr_ab"]) == pytest.approx(mean)
    record = json.loads((tmp_path / "validation" / "protocol.json").read_text())
    assert (record["epoch"], record["weights"]) == (5, "as trained")


def test_validation_measures_the_averaged_weights_of_the_checkpoint(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    trainer = train(composed(run_dir, tmp_path / "toy", "callbacks=ema"))
    data = ImageDataModule(tmp_path / "toy", load_size=20, crop_size=16, num_workers=0)
    data.setup()
    held_out = data.held_out()
    assert held_out is not None
    found = evaluate(cyclegan.load(run_dir / "checkpoints" / "last.ckpt"), held_out).metrics
    measured = rows(run_dir)[-1]
    assert found == pytest.approx({name: float(measured[f"val/{name}"]) for name in found}, rel=1e-5)
    as_trained = evaluate(trainer.lightning_module.eval(), held_out).metrics  # type: ignore[arg-type]
    assert abs(as_trained["cycle"] - found["cycle"]) > 1e-4
    record = json.loads((run_dir / "validation" / "protocol.json").read_text())
    assert record["weights"] == "their moving average"


def test_unavailable_network_weights_are_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    validation, listener = Validation(str(tmp_path), every_n_epochs=1, features=Unobtainable()), Listener()
    with caplog.at_level(logging.WARNING, "cyclegan"):
        fit_small(tmp_path, validation, listener, max_epochs=3)
    (record,) = caplog.records
    assert "without kid, fid, precision, recall: no weights of the projection: put them there" in record.message
    assert len(listener.validated) == 4
    assert "psnr" in listener.metrics
    assert "kid" not in listener.metrics


def test_missing_held_out_images_are_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = toy_data(tmp_path / "toy")
    data.prepare_data()
    for folder in ("testA", "testB"):
        (tmp_path / "toy" / folder).rename(tmp_path / folder)
    data = ImageDataModule(tmp_path / "toy", load_size=16, crop_size=16, batch_size=2, num_workers=0)
    with caplog.at_level(logging.WARNING, "cyclegan"):
        fit_toy(small_cyclegan(), data, Validation(str(tmp_path), 1), max_epochs=2)
    (record,) = caplog.records
    assert "data.val_share=0.05" in record.message


@pytest.mark.parametrize("val_share", [0.0, 0.4])
def test_model_selection_on_test_images_is_logged_and_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, val_share: float
) -> None:
    data = toy_data(tmp_path / "toy")
    data.val_share = val_share
    with caplog.at_level(logging.INFO, "cyclegan"):
        fit_toy(small_cyclegan(), data, Validation(str(tmp_path), 1))
    lines = [record.message for record in caplog.records if "test images choose best.ckpt" in record.message]
    record = json.loads((tmp_path / "validation" / "protocol.json").read_text())
    assert record["images"]["split"] == ("val" if val_share else "test")
    assert ["data.val_share=0.05" in line for line in lines] == ([] if val_share else [True])
    assert ("selection" in record) == (not val_share)


def test_a_folder_that_cannot_be_written_does_not_end_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "validation").write_text("in the way")
    with caplog.at_level(logging.WARNING, "cyclegan"):
        trainer = fit_small(tmp_path, Validation(str(tmp_path), 1))
    assert trainer.global_step == 3
    assert all("was not written, training continues" in record.message for record in caplog.records)
    assert caplog.records


def test_mixed_precision_measures_in_float32(tmp_path: Path) -> None:
    """Only the networks run in bfloat16."""
    found = []
    for precision in ("32-true", "bf16-mixed"):
        listener = Listener()
        fit_small(tmp_path, Validation(str(tmp_path), 1, features=Projection()), listener, precision=precision)
        found.append(listener.validated[0].metrics)
    one, other = found
    for name in ("psnr_copied_ab", "ssim_copied_ab", "fid_copied_ab", "kid_copied_ba"):  # do not depend on a generator
        assert one[name] == other[name], name
    for name in ("psnr_ab", "cycle_a", "identity_b"):
        assert one[name] != other[name], name
        assert one[name] == pytest.approx(other[name], rel=0.02), name


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match=r"callbacks\.validation\.max_images is 0; it is 1 or more"):
        Validation("run", max_images=0)


def test_features_can_be_a_plain_module(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    listener = Listener()
    fit_small(tmp_path, Validation(str(tmp_path), 1, features=network), listener)
    assert {"fid_ab", "kid_ba", "kid", "fid", "kid_copied_ab"} <= listener.metrics.keys()


def test_a_config_group_file_without_package_line_is_refused(tmp_path: Path) -> None:
    config = composed(tmp_path / "run", tmp_path / "toy", "+features={_target_: looks.Looks}")
    with pytest.raises(UserError, match=r"the chosen file of features lacks its first line # @package"):
        train(config)


def test_a_missing_metric_of_best_is_logged_before_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stop = StopAt("on_train_batch_start", 0)
    callbacks = (Validation(str(tmp_path), 1), stop, Checkpointing(str(tmp_path), best="kid"))
    with caplog.at_level(logging.WARNING, "cyclegan"), pytest.raises(StoppedError):
        fit_small(tmp_path, *callbacks)
    assert sum("best is kid, which is not measured" in message for message in caplog.messages) == 1


def test_a_run_that_resumes_from_an_earlier_checkpoint_removes_later_files(tmp_path: Path) -> None:
    first = (Validation(str(tmp_path), 1), ImageGrid(str(tmp_path)), Checkpointing(str(tmp_path), best=None))
    fit_small(tmp_path, *first, max_epochs=4)

    def epochs() -> set[int]:
        tables = {int(file.stem[-4:]) for file in (tmp_path / "validation").glob("*.csv")}
        grids = {int(file.stem[-4:]) for file in (tmp_path / "samples").iterdir()}
        assert tables == grids
        return tables

    assert epochs() == {0, 1, 2, 3, 4}
    earlier = tmp_path / "checkpoints" / "images000000018.ckpt"  # end of epoch 3
    assert earlier.exists()
    again = (Validation(str(tmp_path), 9), ImageGrid(str(tmp_path), 9), Checkpointing(str(tmp_path), best=None))
    fit_small(tmp_path, *again, max_epochs=5, resume=earlier)
    assert epochs() == {0, 1, 2, 3, 5}


def test_skipped_images_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = toy_data(tmp_path / "toy")
    data.on_error = "skip"
    data.prepare_data()
    broken = tmp_path / "toy" / "testA" / "0001.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with caplog.at_level(logging.WARNING, "cyclegan"):
        fit_toy(small_cyclegan(), data, Validation(str(tmp_path), 1), max_epochs=2)
    (line,) = [record.message for record in caplog.records if "skipped" in record.message]
    assert line.endswith("skipped unreadable images: 1 of A; `cyclegan-data check` lists them")
