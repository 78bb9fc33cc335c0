"""best.ckpt is the checkpoint of the best metric, also in a run that was killed, resumed, taken back or changed."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl

from cyclegan.callbacks import best as best_module
from cyclegan.callbacks import checkpointing
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.checkpoint import writing
from cyclegan.checkpoint.loading import load_translator
from cyclegan.checkpoint.reading import by_age, newest_intact, read
from cyclegan.train.command import train
from tests.callbacks.given_metrics import GivenMetrics, psnrs
from tests.small import small_cyclegan
from tests.tiny_run import StopAt, StoppedError, composed, differences
from tests.toy_runs import fit_toy, toy_data

pytestmark = pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*")  # as the command does

IMAGES = 6  # an epoch of toy_data: three batches of two


def run(
    folder: Path,
    metrics: GivenMetrics,
    *others: pl.Callback,
    resume: Path | None = None,
    best: str | None = "psnr",
    every_n_epochs: int | None = 1,
    epochs: int | None = None,
) -> pl.Trainer:
    saving = Checkpointing(
        str(folder), best=best, every_n_epochs=every_n_epochs, every_n_minutes=None, keep_every_n_epochs=None
    )
    data = toy_data(folder.parent / "toy")
    callbacks = (metrics, *others, saving)
    return fit_toy(small_cyclegan(), data, *callbacks, resume=resume, max_epochs=epochs or len(metrics.given))


def checkpoint(folder: Path, name: str = "best.ckpt") -> Path:
    return folder / "checkpoints" / name


def epoch_of_best(folder: Path) -> int:
    """Epochs that the weights in best.ckpt have had, by its position."""
    return int(read(checkpoint(folder))["ImageDataModule"]["position"]) // IMAGES


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("cyclegan")]


def remembered(path: Path) -> dict[str, object] | None:
    found: dict[str, object] | None = read(path)["callbacks"].get("Checkpointing", {}).get("best")
    return found


# ---------------------------------------------------------------------------------------------- which one it is


@pytest.mark.parametrize(
    ("metric", "values", "epoch"),
    [
        ("psnr", [20.0, 22.0, 21.0], 2),
        ("psnr", [20.0, 22.0, 22.0], 2),  # as good is not better
        ("kid", [0.3, 0.1, 0.2], 2),  # of a distance, less is better
        ("fid_ab", [9.0, 8.0, 7.0], 3),
        ("psnr", [math.nan, 20.0, math.inf], 2),
        ("kid", [0.3, -math.inf, math.nan], 1),
        ("val/psnr", [20.0, 19.0, 21.0], 3),  # as metrics.csv calls it
    ],
)
def test_is_the_checkpoint_of_the_best_finite_value(
    tmp_path: Path, metric: str, values: list[float], epoch: int
) -> None:
    name = metric.removeprefix("val/")
    run(tmp_path / "run", GivenMetrics(*({name: value} for value in values)), best=metric)
    assert epoch_of_best(tmp_path / "run") == epoch
    says = {"metric": name, "value": values[epoch - 1], "epoch": epoch, "images": IMAGES * epoch, "protocol": ""}
    assert remembered(checkpoint(tmp_path / "run")) == says, "the checkpoint itself says that it is the best"
    assert remembered(checkpoint(tmp_path / "run", "last.ckpt")) == says


def test_is_written_at_epochs_that_write_none_and_outlives_what_is_pruned(tmp_path: Path) -> None:
    run(tmp_path / "run", psnrs(20.0, 23.0, 21.0, 22.0, 21.0), every_n_epochs=None)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    # Written after epochs 1 and 2, which are better than ever, and 5, the last; the newest two keep their names.
    assert names == ["best.ckpt", "epoch0005.ckpt", "images000000012.ckpt", "images000000030.ckpt", "last.ckpt"]
    run(tmp_path / "pruned", psnrs(20.0, 23.0, 21.0, 22.0, 21.0))
    assert not checkpoint(tmp_path / "pruned", "images000000012.ckpt").exists()
    assert epoch_of_best(tmp_path / "pruned") == 2
    assert checkpoint(tmp_path / "pruned").stat().st_nlink == 1, "one name is left, and the content with it"


def test_epochs_without_a_validation_change_nothing(tmp_path: Path) -> None:
    run(tmp_path / "run", GivenMetrics({"psnr": 20.0}, None, {"psnr": 19.0}, None))
    assert epoch_of_best(tmp_path / "run") == 1


def test_nothing_goes_on_from_it_unasked(tmp_path: Path) -> None:
    run(tmp_path / "run", psnrs(20.0, 23.0, 21.0, 22.0, 21.0))
    folder = tmp_path / "run" / "checkpoints"
    assert [read(path)["ImageDataModule"]["position"] // IMAGES for path in by_age(folder)] == [5, 4]
    for path in [*folder.glob("images0*"), *folder.glob("epoch*"), folder / "last.ckpt"]:
        path.unlink()
    assert newest_intact(folder) is None


@pytest.mark.usefixtures("quiet")
def test_one_can_translate_and_begin_a_run_with_it(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(trainer: pl.Trainer) -> SimpleNamespace:
        return SimpleNamespace(metrics={"psnr": [20.0, 23.0, 21.0][trainer.current_epoch]}, protocol="", given_up=())

    monkeypatch.setattr(best_module, "validation_of", given)
    words = ("callbacks=ema", "trainer.max_epochs=3", "++callbacks.checkpointing.best=psnr")
    train(composed(tmp_path / "run", root, *words))
    assert remembered(checkpoint(tmp_path / "run")) == {
        "metric": "psnr",
        "value": 23.0,
        "epoch": 2,
        "images": 12,
        "protocol": "",
    }
    averages = read(checkpoint(tmp_path / "run"))["ema"]["gen_ab"]
    translator = load_translator(checkpoint(tmp_path / "run"))
    assert differences(dict(translator.generators()["gen_ab"].state_dict()), dict(averages)) == []
    monkeypatch.undo()  # which also brings back the metrics that are really measured
    begun = (
        "callbacks=default",
        "schedule=constant",
        "trainer.max_epochs=0",
        f"init_from={checkpoint(tmp_path / 'run')}",
    )
    weights = train(composed(tmp_path / "begun", root, *begun)).lightning_module.state_dict()
    assert differences(dict(weights), dict(read(checkpoint(tmp_path / "run"))["state_dict"])) == []


def test_one_line_for_each_new_best_and_none_for_other_epochs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", checkpointing.__name__):
        run(tmp_path / "run", psnrs(20.125, 19.0, 22.6149))
    path = checkpoint(tmp_path / "run")
    assert said(caplog) == [
        f"best      psnr 20.12 at epoch 1 → {path}",
        f"best      psnr 22.61 at epoch 3 → {path}",
    ]


def test_a_metric_that_is_not_measured_is_said_once_with_what_there_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "cyclegan"):
        run(tmp_path / "run", psnrs(20.0, 21.0), best="lpips_ba")
    (line,) = [line for line in said(caplog) if line.startswith("metrics")]
    assert "callbacks.checkpointing.best is lpips_ba, which is not measured" in line
    assert "callbacks.checkpointing.best=... names one that is: cycle, psnr" in line
    assert not checkpoint(tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            "psrn",
            r"callbacks.checkpointing.best is psrn \(did you mean psnr\?\); what a run can be judged by is psnr, ss",
        ),
        ("variety_ab", "best is variety_ab; what"),  # the least varied is not the best
        ("d_fake_a", "best is d_fake_a; what"),
        ("kid_spread_ab", "best is kid_spread_ab; what"),
        ("psnr_copied_ab", "best is psnr_copied_ab; what"),
    ],
)
def test_a_metric_without_a_better_side_is_refused(asked: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Checkpointing("run", best=asked)


def test_metrics_of_another_protocol_are_not_compared(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A resume with another feature network: its distances are on another scale."""
    folder = tmp_path / "run"
    run(folder, psnrs(20.0, 25.0))
    metrics = psnrs(20.0, 25.0, 21.0, 22.0, 21.5)
    metrics.protocol = "another"
    with caplog.at_level("INFO", "cyclegan"):
        run(folder, metrics, resume=checkpoint(folder, "last.ckpt"))
    assert epoch_of_best(folder) == 4
    assert sum("measured otherwise" in line for line in said(caplog)) == 1


def test_without_a_validation_or_a_metric_there_is_none_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path / "no_validation", GivenMetrics(None, None))
    run(tmp_path / "not_asked", psnrs(20.0, 21.0), best=None)
    assert not list(tmp_path.glob("*/checkpoints/best.ckpt"))
    assert said(caplog) == []


# ---------------------------------------------------------------------------------------------- resumed


METRICS = (20.0, 22.0, 21.0, 23.0, 22.5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed; its best is epoch 4."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(folder, psnrs(*METRICS))
    return folder


@pytest.mark.parametrize("step", [2, 6, 7, 9, 11, 12, 14])  # cut after so many batches, three of them an epoch
def test_a_resumed_run_ends_with_the_same(whole: Path, tmp_path: Path, step: int) -> None:
    with pytest.raises(StoppedError):
        run(tmp_path / "run", psnrs(*METRICS), StopAt("on_train_batch_start", step))
    found = newest_intact(tmp_path / "run" / "checkpoints")
    run(tmp_path / "run", psnrs(*METRICS), resume=found[0] if found else None)
    for name in ("best.ckpt", "last.ckpt"):
        one, other = read(checkpoint(tmp_path / "run", name)), read(checkpoint(whole, name))
        assert differences(one, other) == []


def test_a_kill_between_the_save_and_the_naming_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = writing.same_file

    def killed(source: Path, target: Path) -> None:
        if target.name == "best.ckpt" and source.name == "images000000012.ckpt":
            raise StoppedError
        original(source, target)

    monkeypatch.setattr(checkpointing, "same_file", killed)
    with pytest.raises(StoppedError):
        run(tmp_path / "run", psnrs(*METRICS))
    assert epoch_of_best(tmp_path / "run") == 1
    found = newest_intact(tmp_path / "run" / "checkpoints")
    assert found
    assert found[1]["ImageDataModule"]["position"] == 2 * IMAGES
    with pytest.raises(StoppedError):
        run(tmp_path / "run", psnrs(*METRICS), StopAt("on_train_batch_start", 6), resume=found[0])
    assert epoch_of_best(tmp_path / "run") == 2


def test_a_best_that_could_not_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pl.Trainer.save_checkpoint

    def save(trainer: pl.Trainer, path: Path) -> None:
        if trainer.current_epoch == 1:  # of 0, 1, 2
            raise OSError(28, "No space left on device", str(path))
        original(trainer, path)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", save)
    run(tmp_path / "run", psnrs(20.0, 23.0, 22.0))
    assert epoch_of_best(tmp_path / "run") == 3, "22 dB are the best of what there is"


def test_a_run_that_is_taken_back_has_the_best_of_then_again(whole: Path, tmp_path: Path) -> None:
    # Epochs 1 to 5 stay, so that the best up to epoch 3, which is epoch 2, can be found.
    data, metrics = toy_data(tmp_path / "toy"), psnrs(*METRICS)
    saving = Checkpointing(str(tmp_path / "run"), best="psnr", keep_every_n_epochs=1)
    fit_toy(small_cyclegan(), data, metrics, saving, max_epochs=5)
    assert epoch_of_best(tmp_path / "run") == 4
    back = checkpoint(tmp_path / "run", "epoch0003.ckpt")
    run(tmp_path / "run", psnrs(0, 0, 0, 21.5, 21.6), resume=back)
    assert epoch_of_best(tmp_path / "run") == 2


def test_where_the_best_of_then_is_gone_the_later_one_stays_until_a_better_one_than_then_is_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path / "run", psnrs(20.0, 22.0, 21.0, 23.0))  # images=18 and 24 are left, the best of then was epoch 2
    back = checkpoint(tmp_path / "run", "images000000018.ckpt")
    with caplog.at_level("INFO", best_module.__name__):
        run(tmp_path / "run", psnrs(0, 0, 0, 21.5), resume=back)
    (line,) = said(caplog)
    assert (
        "the checkpoint of psnr 22 at epoch 2 is gone; best.ckpt is of a part of the run that is now left out" in line
    )
    assert epoch_of_best(tmp_path / "run") == 4
    assert remembered(checkpoint(tmp_path / "run")) != remembered(checkpoint(tmp_path / "run", "last.ckpt"))
    run(tmp_path / "run", psnrs(0, 0, 0, 0, 22.5), resume=checkpoint(tmp_path / "run", "last.ckpt"))
    assert epoch_of_best(tmp_path / "run") == 5


def test_a_run_that_goes_on_in_another_folder_takes_its_best_along(whole: Path, tmp_path: Path) -> None:
    run(tmp_path / "branch", psnrs(0, 0, 0, 0, 0, 1.0), resume=checkpoint(whole, "last.ckpt"))
    assert epoch_of_best(tmp_path / "branch") == 4
    assert read(checkpoint(tmp_path / "branch"))["ImageDataModule"]["position"] == 4 * IMAGES


def test_another_metric_is_not_compared_with_the_old_one(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = checkpoint(whole, "last.ckpt")
    kids = GivenMetrics(*({"kid": 99.0},) * 6)  # more than any dB so far, and less is better
    with caplog.at_level("INFO", best_module.__name__):
        run(tmp_path / "run", kids, resume=last, best="kid")
    assert "best      of kid from here on; the run so far looked at psnr" in caplog.messages
    says = remembered(checkpoint(tmp_path / "run"))
    assert says == {"metric": "kid", "value": 99.0, "epoch": 6, "images": 6 * IMAGES, "protocol": ""}


def test_checkpoints_of_before_there_was_a_best_are_resumed(tmp_path: Path) -> None:
    run(tmp_path / "run", GivenMetrics(None, None), best=None)
    last = checkpoint(tmp_path / "run", "last.ckpt")
    assert "Checkpointing" not in read(last)["callbacks"]
    run(tmp_path / "run", psnrs(0, 0, 20.0), resume=last)
    assert epoch_of_best(tmp_path / "run") == 3


def test_a_run_that_measures_nothing_says_that_it_will_have_no_best(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "cyclegan.callbacks.checkpointing"):
        fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), Checkpointing(str(tmp_path / "run"), best="kid"))
        fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), Checkpointing(str(tmp_path / "other"), best=None))
    assert [m for m in caplog.messages if m.startswith("best")] == [
        "best      there will be no best.ckpt, as no validation measures kid"
    ]
