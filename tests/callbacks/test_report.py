"""Schedule of the report, and failures to write it."""

import getpass
import json
import logging
import platform
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from cyclegan.callbacks import report
from cyclegan.callbacks.report import RunReport
from tests.callbacks.given_metrics import GivenMetrics
from tests.tiny_run import StopAt, StoppedError
from tests.toy_runs import fit_small, logged


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders of the runs whose report was written, in order."""
    runs: list[Path] = []

    def write(run_dir: Path) -> Path:
        runs.append(run_dir)
        return run_dir / "report.html"

    monkeypatch.setattr(report, "write_report", write)
    return runs


def test_a_report_after_every_validation_and_at_the_end(
    tmp_path: Path, written: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    class Count(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.append(len(written))

    validation = GivenMetrics(None, {"psnr": 15.0}, None)
    with caplog.at_level(logging.INFO, report.__name__):
        fit_small(tmp_path, validation, RunReport(str(tmp_path)), Count(), max_epochs=3)
    assert seen == [1, 2, 2], "the first report follows the validation before training"
    assert written == [tmp_path] * 3
    assert logged(caplog, report.__name__) == [f"report    {tmp_path / 'report.html'}"]


def test_a_stopped_run_has_a_report(tmp_path: Path, written: list[Path]) -> None:
    with pytest.raises(StoppedError):
        fit_small(tmp_path, RunReport(str(tmp_path)), StopAt("on_train_batch_end", 2))
    assert written == [tmp_path]


@pytest.mark.parametrize("which", ["write_report", "write_text"])
def test_a_file_that_cannot_be_written_is_logged_and_training_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, which: str
) -> None:
    def fail(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, which, fail)
    trainer = fit_small(tmp_path, RunReport(str(tmp_path)))
    assert trainer.global_step == 3
    assert logged(caplog, report.__name__) == [
        "report    not written, training continues: [Errno 28] No space left on device"
    ]


def test_the_environment_is_written_without_personal_names(tmp_path: Path) -> None:
    fit_small(tmp_path, RunReport(str(tmp_path)))
    text = (tmp_path / "environment.json").read_text()
    found = json.loads(text)
    assert list(found) == ["cyclegan", "Python", "torch", "torchvision", "pytorch-lightning", "system", "device",
                           "processors of the host"]  # fmt: skip
    assert (found["Python"], found["pytorch-lightning"]) == (platform.python_version(), pl.__version__)
    assert found["torch"] == torch.__version__
    assert found["device"].startswith("cpu")
    assert found["processors of the host"] >= 1
    assert str(Path.home()) not in text
    assert platform.node() not in text
    assert f"/{getpass.getuser()}" not in text
