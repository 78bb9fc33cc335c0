"""Early stopping by a validation metric, and how a stopped run is continued."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from cyclegan.callbacks import early_stopping
from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.early_stopping import EarlyStopping
from cyclegan.checkpoint.reading import read
from cyclegan.errors import UserError
from tests.callbacks.given_metrics import GivenMetrics, psnrs
from tests.small import small_cyclegan
from tests.tiny_run import StopAt, StoppedError, differences
from tests.toy_runs import fit_toy, logged, toy_data


def run(
    folder: Path,
    metrics: GivenMetrics,
    stopping: EarlyStopping,
    *others: pl.Callback,
    resume: Path | None = None,
    **arguments: Any,
) -> int:
    """Train, and return the number of epochs."""
    saving = Checkpointing(str(folder), best="psnr", every_n_minutes=None, keep_every_n_epochs=None)
    callbacks = (metrics, *others, stopping, saving)
    arguments = {"max_epochs": len(metrics.given)} | arguments
    trainer = fit_toy(small_cyclegan(), toy_data(folder.parent / "toy"), *callbacks, resume=resume, **arguments)
    assert trainer.state.finished
    return trainer.global_step // 3


def last(folder: Path) -> Path:
    return folder / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize(
    ("values", "arguments", "epochs"),
    [
        ([20, 22, 21, 22, 23, 24], {"patience": 2}, 4),  # an equal value is no improvement
        ([20, 22, 21, 23, 22, 24], {"patience": 2}, 6),
        ([20, 21, 22, 23], {"patience": 2, "min_delta": 1.5}, 4),  # 22 is 2 dB above 20, the best that counted
        ([20, math.nan, math.nan, 23], {"patience": 2}, 3),
        ([20, 19, 18, 17], {"patience": None}, 4),
        ([20, 19, 18, 17, 16], {"patience": 1, "min_epochs": 3}, 3),
        ([20, 19, 18, 17, 16], {"patience": 1, "min_steps": 8}, 3),  # within the third epoch
    ],
)  # fmt: skip
def test_ends_after_patience_validations_without_improvement(
    tmp_path: Path, values: list[float], arguments: dict[str, Any], epochs: int
) -> None:
    bounds = {key: arguments.pop(key) for key in ("min_epochs", "min_steps") if key in arguments}
    assert run(tmp_path / "run", psnrs(*values), EarlyStopping("psnr", **arguments), **bounds) == epochs
    assert read(tmp_path / "run" / "checkpoints" / f"epoch{epochs:04d}.ckpt")["global_step"] == 3 * epochs


def test_counts_validations_and_not_epochs(tmp_path: Path) -> None:
    rows = [{"psnr": 20.0}, None, None, {"psnr": 19.0}, None, {"psnr": 18.0}, None]
    assert run(tmp_path / "run", GivenMetrics(*rows), EarlyStopping("psnr", patience=2)) == 6


def test_a_metric_that_is_not_measured_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(tmp_path / "run", psnrs(20, 19, 18), EarlyStopping("kid", patience=1)) == 3
    warnings = [message for message in logged(caplog) if "callbacks.early_stopping.metric is kid" in message]
    assert len(warnings) == 1
    assert warnings[0].endswith("; measured are cycle, psnr")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"metric": "kid", "patience": 0}, r"early_stopping\.patience is 0"),
        ({"metric": "kid", "patience": 2, "min_delta": -0.1}, r"early_stopping\.min_delta is -0\.1"),
        ({"metric": None, "patience": 2}, r"early_stopping\.metric is null"),
    ],
)
def test_refuses_arguments_out_of_range(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        EarlyStopping(**arguments)


METRICS = (20, 22, 21, 21.5, 19, 25, 26)  # with a patience of three, epoch 5 is the last


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after epoch 5 of 7; only to be read."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert run(folder, psnrs(*METRICS), EarlyStopping("psnr", patience=3)) == 5
    return folder


@pytest.mark.parametrize("step", [4, 13])
def test_an_interrupted_run_ends_at_the_same_epoch(tmp_path: Path, stopped: Path, step: int) -> None:
    stop = StopAt("on_train_batch_start", step)
    with pytest.raises(StoppedError):
        run(tmp_path / "cut", psnrs(*METRICS), EarlyStopping("psnr", patience=3), stop)
    resume = last(tmp_path / "cut")
    assert run(tmp_path / "cut", psnrs(*METRICS), EarlyStopping("psnr", patience=3), resume=resume) == 5
    assert differences(read(last(tmp_path / "cut")), read(last(stopped))) == []


@pytest.fixture
def ended(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the stopped run."""
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def test_an_ended_run_stays_ended_and_logs_how_to_continue(ended: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = last(ended).read_bytes()
    with caplog.at_level("INFO", early_stopping.__name__):
        assert run(ended, psnrs(*METRICS), EarlyStopping("psnr", patience=3), resume=last(ended)) == 5
        # A larger max_epochs alone does not continue it.
        longer = psnrs(*METRICS, *METRICS)
        assert run(ended, longer, EarlyStopping("psnr", patience=3), resume=last(ended)) == 5
    text = (
        "stop      psnr was no better than 22 (epoch 2) in 3 validations; to continue, raise "
        "callbacks.early_stopping.patience=3, or set it to null, with resume=auto"
    )
    assert logged(caplog, early_stopping.__name__) == [text] * 2
    assert last(ended).read_bytes() == before


@pytest.mark.parametrize(
    ("stopping", "minimum", "epochs"),
    [
        (EarlyStopping("psnr", patience=4), None, 6),  # the count of validations is kept
        (EarlyStopping("psnr", patience=3), 6, 6),
        (EarlyStopping("cycle", patience=3), None, 7),
        (EarlyStopping(None), None, 7),
    ],
)
def test_a_stopped_run_continues_with_other_settings(
    ended: Path, stopping: EarlyStopping, minimum: int | None, epochs: int
) -> None:
    metrics = psnrs(*METRICS[:5], 21, 21)
    assert run(ended, metrics, stopping, resume=last(ended), min_epochs=minimum) == epochs
