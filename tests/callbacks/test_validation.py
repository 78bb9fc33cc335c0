"""Validation watches: training is the same with and without it, and it says what it cannot measure."""

import csv
import json
import logging
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

import cyclegan
from cyclegan.callbacks.validation import Validation, figures_of
from cyclegan.data.unpaired import UnpairedData
from cyclegan.evaluation.evaluate import evaluate
from cyclegan.loggers.metrics_csv import MetricsCsv
from cyclegan.metrics.feature_network import AnyNetwork
from cyclegan.train import train
from tests.evaluation.networks import Projection, Unobtainable
from tests.small import small_cyclegan
from tests.tiny_run import composed, differences, metrics, read_checkpoint
from tests.toy_runs import fit_toy, toy_data


def rows(run_dir: Path) -> list[dict[str, str]]:
    """Those of metrics.csv that hold figures of a validation."""
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
    trainer = fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), validation, max_epochs=5, logger=logger)
    found = rows(tmp_path)
    assert [(row["images_seen"], row["epoch"]) for row in found] == [
        ("0", "0.0"), ("12", "2.0"), ("24", "4.0"), ("30", "5.0"),
    ]  # fmt: skip
    assert float(found[-1]["val/cycle"]) == figures_of(trainer)["cycle"]
    tables = sorted(path.name for path in (tmp_path / "validation").glob("*.csv"))
    assert tables == [f"epoch={epoch:04d}.csv" for epoch in (0, 2, 4, 5)]
    with (tmp_path / "validation" / "epoch=0005.csv").open(newline="") as file:
        pictures = list(csv.DictReader(file))
    mean = sum(float(row["psnr"]) for row in pictures if row["direction"] == "A2B") / 3
    assert float(found[-1]["val/psnr_ab"]) == pytest.approx(mean)
    record = json.loads((tmp_path / "validation" / "protocol.json").read_text())
    assert (record["epoch"], record["weights"]) == (5, "as trained")


def test_figures_are_only_there_in_epochs_that_measured(tmp_path: Path) -> None:
    seen = []

    class Reads(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.append(bool(figures_of(trainer)))

    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), Validation(str(tmp_path), 2), Reads(), max_epochs=4)
    assert seen == [False, True, False, True]


def test_what_is_measured_is_what_a_checkpoint_translates(tmp_path: Path) -> None:
    """The average of the weights, where there is one: the figures are those of `cyclegan.load`."""
    run_dir = tmp_path / "run"
    trainer = train(composed(run_dir, tmp_path / "toy", "callbacks=ema"))
    data = UnpairedData(tmp_path / "toy", load_size=20, crop_size=16, num_workers=0)
    data.setup()
    held_out = data.held_out()
    assert held_out is not None
    found = evaluate(cyclegan.load(run_dir / "checkpoints" / "last.ckpt"), held_out).figures
    measured = figures_of(trainer)
    assert found == pytest.approx({name: measured[name] for name in found}, rel=1e-5)
    as_trained = evaluate(trainer.lightning_module.eval(), held_out).figures  # type: ignore[arg-type]
    assert abs(as_trained["cycle"] - found["cycle"]) > 1e-4
    record = json.loads((run_dir / "validation" / "protocol.json").read_text())
    assert record["weights"] == "their moving average"


def test_nothing_of_what_measures_is_in_a_checkpoint(tmp_path: Path) -> None:
    """A checkpoint of a run that measures, and of one that does not, differ in their configuration alone."""

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
        return {name for name in found if not name.startswith("/callbacks/Checkpointing")}  # what it found best

    def size(run_dir: Path) -> int:
        return (run_dir / "checkpoints" / "last.ckpt").stat().st_size

    without = keys(tmp_path / "without", "features=none")
    measured = keys(tmp_path / "with", "features=random")
    assert measured == without
    assert "val/kid" in metrics(tmp_path / "with")[-1]
    assert abs(size(tmp_path / "with") - size(tmp_path / "without")) < 2000


def test_any_module_gives_features(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    validation = Validation(str(tmp_path), 1, features=AnyNetwork(network, size=8))
    trainer = fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), validation)
    assert {"fid_ab", "kid_ba", "kid", "precision_ab", "recall_ba"} <= figures_of(trainer).keys()


def test_without_weights_training_goes_on_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    validation = Validation(str(tmp_path), every_n_epochs=1, features=Unobtainable())
    with caplog.at_level(logging.WARNING, "cyclegan"):
        trainer = fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), validation, max_epochs=3)
    (record,) = caplog.records
    assert "without FID, KID, precision and recall: no weights of the projection: put them there" in record.message
    assert trainer.current_epoch == 3
    assert "psnr" in figures_of(trainer)
    assert "kid" not in figures_of(trainer)


def test_without_held_out_pictures_training_goes_on_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = toy_data(tmp_path / "toy")
    data.prepare_data()
    for folder in ("testA", "testB"):
        (tmp_path / "toy" / folder).rename(tmp_path / folder)
    alone = UnpairedData(tmp_path / "toy", load_size=16, crop_size=16, batch_size=2, num_workers=0)
    with caplog.at_level(logging.WARNING, "cyclegan"):
        trainer = fit_toy(small_cyclegan(), alone, Validation(str(tmp_path), 1), max_epochs=2)
    (record,) = caplog.records
    assert "data.val_share=0.05" in record.message
    assert figures_of(trainer) == {}


def test_pictures_set_aside_for_validation_go_before_those_for_testing(tmp_path: Path) -> None:
    data = UnpairedData(
        tmp_path / "toy", load_size=16, crop_size=16, batch_size=2, num_workers=0, val_share=0.4,
        source=toy_data(tmp_path / "toy").source,
    )  # fmt: skip
    fit_toy(small_cyclegan(), data, Validation(str(tmp_path), 1))
    record = json.loads((tmp_path / "validation" / "protocol.json").read_text())
    assert record["pictures"]["split"] == "val"
    assert data.counts["valA"] < 6


def test_a_folder_that_cannot_be_written_does_not_end_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "validation").write_text("in the way")
    with caplog.at_level(logging.WARNING, "cyclegan"):
        trainer = fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), Validation(str(tmp_path), 1))
    assert trainer.global_step == 3
    assert all("was not written, training goes on" in record.message for record in caplog.records)
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
    ("arguments", "says"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs is 0; it is 1 or more"),
        ({"max_pictures": 1}, "max_pictures is 1; it is 2 or more"),
        ({"batch_size": 0}, "batch_size is 0; it is 1 or more"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Validation("run", **arguments)  # type: ignore[arg-type]
