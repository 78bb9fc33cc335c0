"""Validation during training: when, of which weights, and what is logged if something cannot be measured."""

import csv
import json
import logging
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import open_dict

import cyclegan
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.image_grid import ImageGrid
from cyclegan.callbacks.validation import Validated, Validation
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.errors import RunError
from cyclegan.loggers.metrics_csv import MetricsCsv
from cyclegan.metrics.feature_network import AnyNetwork
from cyclegan.train.command import train
from cyclegan.validation.evaluate import evaluate
from tests.callbacks.given_metrics import Listener
from tests.small import small_cyclegan
from tests.tiny_run import composed, differences, metrics, read_checkpoint
from tests.toy_runs import fit_toy, toy_data
from tests.validation.networks import Projection, Unobtainable


def rows(run_dir: Path) -> list[dict[str, str]]:
    """Those of metrics.csv that hold values of a validation."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("val/cycle")]


def test_training_is_the_same_with_it_and_without(tmp_path: Path) -> None:
    watched, alone = (small_cyclegan(seed=3) for _ in range(2))
    validation = Validation(str(tmp_path), every_n_epochs=1, features=Projection())
    for model, callbacks in ((watched, [validation]), (alone, [])):
        torch.manual_seed(1)
        fit_toy(model, toy_data(tmp_path / "toy"), *callbacks, max_epochs=2)
    assert differences(watched.state_dict(), alone.state_dict()) == []
    assert watched.training


def test_it_measures_before_training_every_few_epochs_and_at_the_end(tmp_path: Path) -> None:
    validation = Validation(str(tmp_path), every_n_epochs=2)
    logger = MetricsCsv(str(tmp_path))
    listener = Listener()
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), validation, listener, max_epochs=5, logger=logger)
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


def test_what_is_measured_is_what_a_checkpoint_translates(tmp_path: Path) -> None:
    """With an average of the weights, the metrics are those of `cyclegan.load`."""
    run_dir = tmp_path / "run"
    listener = {"_target_": f"{Listener.__module__}.{Listener.__qualname__}"}
    config = composed(run_dir, tmp_path / "toy", "callbacks=ema")
    with open_dict(config):
        config.callbacks.listener = listener
    trainer = train(config)
    data = ImageDataModule(tmp_path / "toy", load_size=20, crop_size=16, num_workers=0)
    data.setup()
    held_out = data.held_out()
    assert held_out is not None
    found = evaluate(cyclegan.load(run_dir / "checkpoints" / "last.ckpt"), held_out).metrics
    (measured,) = [c.metrics for c in trainer.callbacks if isinstance(c, Listener)]  # type: ignore[attr-defined]
    assert found == pytest.approx({name: measured[name] for name in found}, rel=1e-5)
    as_trained = evaluate(trainer.lightning_module.eval(), held_out).metrics  # type: ignore[arg-type]
    assert abs(as_trained["cycle"] - found["cycle"]) > 1e-4
    record = json.loads((run_dir / "validation" / "protocol.json").read_text())
    assert record["weights"] == "their moving average"


def test_checkpoints_hold_nothing_of_the_feature_network(tmp_path: Path) -> None:
    """Checkpoints of runs with and without feature network differ in their configuration alone."""

    def keys(run_dir: Path, *overrides: str) -> set[str]:
        train(composed(run_dir, tmp_path / "toy", "trainer.max_epochs=1", *overrides))
        checkpoint = read_checkpoint(run_dir)
        del checkpoint["config"]
        found = set()

        def walk(value: object, name: str) -> None:
            found.add(name)
            items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            for key, entry in items:
                walk(entry, f"{name}/{key}")

        walk(checkpoint, "")
        values = ("/callbacks/Alarms/history", "/callbacks/Checkpointing/best")
        return {name for name in found if not name.startswith(values)}

    def size(run_dir: Path) -> int:
        return (run_dir / "checkpoints" / "last.ckpt").stat().st_size

    without = keys(tmp_path / "without", "features=none")
    measured = keys(tmp_path / "with", "features=random")
    assert measured == without
    assert any("val/kid" in row for row in metrics(tmp_path / "with"))
    assert abs(size(tmp_path / "with") - size(tmp_path / "without")) < 2000


def test_without_weights_training_continues_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    validation, listener = Validation(str(tmp_path), every_n_epochs=1, features=Unobtainable()), Listener()
    with caplog.at_level(logging.WARNING, "cyclegan"):
        fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), validation, listener, max_epochs=3)
    (record,) = caplog.records
    assert "without kid, fid, precision, recall: no weights of the projection: put them there" in record.message
    assert len(listener.validated) == 4
    assert "psnr" in listener.metrics
    assert "kid" not in listener.metrics


def test_without_held_out_images_training_continues_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = toy_data(tmp_path / "toy")
    data.prepare_data()
    for folder in ("testA", "testB"):
        (tmp_path / "toy" / folder).rename(tmp_path / folder)
    alone = ImageDataModule(tmp_path / "toy", load_size=16, crop_size=16, batch_size=2, num_workers=0)
    with caplog.at_level(logging.WARNING, "cyclegan"):
        fit_toy(small_cyclegan(), alone, Validation(str(tmp_path), 1), max_epochs=2)
    (record,) = caplog.records
    assert "data.val_share=0.05" in record.message


@pytest.mark.parametrize("val_share", [0.0, 0.4])
def test_model_selection_on_test_images_is_stated(
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
        trainer = fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), Validation(str(tmp_path), 1))
    assert trainer.global_step == 3
    assert all("was not written, training continues" in record.message for record in caplog.records)
    assert caplog.records


def test_mixed_precision_measures_in_float32(tmp_path: Path) -> None:
    """Networks run in bfloat16, whose two digits show; what is computed of images keeps all of its own."""
    found = []
    for precision in ("32-true", "bf16-mixed"):
        run_dir = tmp_path / precision
        validation = Validation(str(run_dir), every_n_epochs=1, features=Projection())
        logger = MetricsCsv(str(run_dir))
        fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), validation, precision=precision, logger=logger)
        found.append(rows(run_dir)[0])
    one, other = found
    for name in ("psnr_copied_ab", "ssim_copied_ab", "fid_copied_ab", "kid_copied_ba"):  # no generator takes part
        assert one[f"val/{name}"] == other[f"val/{name}"], name
    for name in ("psnr_ab", "cycle_a", "identity_b"):
        exact, mixed = float(one[f"val/{name}"]), float(other[f"val/{name}"])
        assert exact != mixed, name
        assert exact == pytest.approx(mixed, rel=0.02), name


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs is 0; it is 1 or more"),
        ({"max_images": 1}, "max_images is 1; it is 2 or more"),
        ({"batch_size": 0}, "batch_size is 0; it is 1 or more"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, int], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Validation("run", **arguments)  # type: ignore[arg-type]


class Fussy(torch.nn.Module):
    """A network that draws its weights when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(3, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(images.mean((2, 3)))
        return found


def test_a_network_of_ones_own_does_not_move_the_random_numbers(tmp_path: Path) -> None:
    """Dropout draws in every step, so that training shows whatever was drawn before it."""
    target = f"{Fussy.__module__}.{Fussy.__qualname__}"
    any_network = f"{AnyNetwork.__module__}.{AnyNetwork.__qualname__}"
    own = {"_target_": any_network, "size": 8, "network": {"_target_": target}}
    weights = []
    for name, features in (("own", own), ("none", None)):
        config = composed(tmp_path / name, tmp_path / "toy", "trainer.max_epochs=1", "model.generator.dropout=0.5")
        config.callbacks.validation.features = features
        train(config)
        weights.append(read_checkpoint(tmp_path / name)["state_dict"])
    assert differences(*weights) == []
    assert "val/kid" in metrics(tmp_path / "own")[0]


def test_a_plain_module_is_taken_too(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    listener = Listener()
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), Validation(str(tmp_path), 1, features=network), listener)
    assert {"fid_ab", "kid_ba", "kid", "fid", "kid_copied_ab"} <= listener.metrics.keys()


@pytest.mark.parametrize("group", ["features", "perceptual"])
def test_a_group_file_without_its_first_line_is_refused(tmp_path: Path, group: str) -> None:
    config = composed(tmp_path / "run", tmp_path / "toy")
    with open_dict(config):
        config[group] = {"_target_": "looks.Looks"}
    with pytest.raises(RunError, match=r"its first line has to be # @package callbacks\.validation"):
        train(config)


def test_a_missing_metric_of_best_is_logged_before_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Validations may come every five epochs of hours each."""

    class Notes(pl.Callback):
        seen: tuple[str, ...] = ()

        def on_train_batch_start(self, *_: object) -> None:
            self.seen = self.seen or tuple(record.message for record in caplog.records)

    notes = Notes()
    callbacks = (Validation(str(tmp_path), 1), notes, Checkpointing(str(tmp_path), best="kid"))
    with caplog.at_level(logging.WARNING, "cyclegan"):
        fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), *callbacks)
    assert sum("best is kid, which is not measured" in message for message in notes.seen) == 1


def test_too_few_images_for_kid_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    validation = Validation(str(tmp_path), 1, features=Projection())
    with caplog.at_level(logging.WARNING, "cyclegan"):
        fit_toy(small_cyclegan(), toy_data(tmp_path / "toy", test=1), validation, max_epochs=2)
    assert [record.message for record in caplog.records] == [
        "val       no KID and FID: they need 2 images of each domain"
    ]


def test_a_run_that_resumes_from_an_earlier_checkpoint_removes_later_files(tmp_path: Path) -> None:
    first = (Validation(str(tmp_path), 1), ImageGrid(str(tmp_path)), Checkpointing(str(tmp_path), best=None))
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), *first, max_epochs=4)

    def epochs() -> set[int]:
        tables = {int(file.stem[-4:]) for file in (tmp_path / "validation").glob("*.csv")}
        grids = {int(file.stem[-4:]) for file in (tmp_path / "samples").iterdir()}
        assert tables == grids
        return tables

    assert epochs() == {0, 1, 2, 3, 4}
    earlier = tmp_path / "checkpoints" / "images000000018.ckpt"  # the end of epoch 3
    assert earlier.exists()
    again = (Validation(str(tmp_path), 9), ImageGrid(str(tmp_path), 9), Checkpointing(str(tmp_path), best=None))
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), *again, max_epochs=5, resume=earlier)
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
