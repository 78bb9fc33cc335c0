"""When the report is written, and that training outlives its failures."""

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
from cyclegan.optim import Constant
from tests.report.run_folders import write_run
from tests.small import small_cyclegan
from tests.tiny_run import StopAt, StoppedError
from tests.toy_runs import fit_toy, toy_data


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The runs of which a report was written, one after the other; a validation ends every second epoch."""
    runs: list[Path] = []

    def write(run_dir: Path) -> Path:
        runs.append(run_dir)
        return run_dir / "report.html"

    def metrics(trainer: pl.Trainer) -> dict[str, float]:
        return {"psnr": 15.0} if trainer.global_step and (trainer.current_epoch + 1) % 2 == 0 else {}

    monkeypatch.setattr(report, "write_report", write)
    monkeypatch.setattr(report, "metrics_of", metrics)
    return runs


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == report.__name__]


def test_a_report_at_every_validation_and_at_the_end(
    tmp_path: Path, written: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    class Count(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.append(len(written))

    with caplog.at_level(logging.INFO, report.__name__):
        fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), RunReport(str(tmp_path)), Count(), max_epochs=5)
    assert seen == [0, 1, 1, 2, 2]
    assert written == [tmp_path] * 3
    assert lines(caplog) == [f"report    {tmp_path / 'report.html'}"]


def test_a_validation_before_the_first_batch_is_reported_too(
    tmp_path: Path, written: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "metrics_of", lambda trainer: {"psnr": 15.0} if trainer.global_step == 0 else {})
    with pytest.raises(StoppedError):
        fit_toy(
            small_cyclegan(), toy_data(tmp_path / "toy"), RunReport(str(tmp_path)), StopAt("on_train_batch_start", 0)
        )
    assert len(written) == 2  # and one as the run is cut off


def test_a_run_that_is_stopped_has_its_report_and_says_where(
    tmp_path: Path, written: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, report.__name__), pytest.raises(StoppedError):
        fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), RunReport(str(tmp_path)), StopAt("on_train_batch_end", 2))
    assert written == [tmp_path]
    assert lines(caplog) == [f"report    {tmp_path / 'report.html'}"]


def test_a_run_that_fails_before_it_begins_reports_nothing(tmp_path: Path, written: list[Path]) -> None:
    with pytest.raises(StoppedError):
        fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), RunReport(str(tmp_path)), StopAt("on_fit_start", 0))
    assert written == []
    assert not (tmp_path / "environment.json").exists()


@pytest.mark.parametrize("which", ["write_report", "write_environment"])
def test_a_file_that_cannot_be_written_costs_a_line_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, which: str
) -> None:
    def fail(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, which, fail)
    trainer = fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), RunReport(str(tmp_path)))
    assert trainer.global_step == 3
    assert lines(caplog) == ["report    not written, training goes on: [Errno 28] No space left on device"]


def test_the_environment_is_written_down_without_naming_anybody(tmp_path: Path) -> None:
    fit_toy(small_cyclegan(), toy_data(tmp_path / "toy"), RunReport(str(tmp_path)))
    text = (tmp_path / "environment.json").read_text()
    found = json.loads(text)
    assert list(found) == ["cyclegan", "Python", "torch", "torchvision", "pytorch-lightning", "system", "device",
                           "processors of the host"]  # fmt: skip
    assert (found["Python"], found["pytorch-lightning"]) == (platform.python_version(), pl.__version__)
    assert found["torch"] == torch.__version__
    assert found["device"].startswith("cpu")
    assert found["processors of the host"] >= 1
    # no path, no host; `root` alone would be found by chance
    assert str(Path.home()) not in text
    assert platform.node() not in text
    assert f"/{getpass.getuser()}" not in text


def test_a_resumed_run_writes_its_report_anew(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "report.html").write_text("of the first part")
    data = toy_data(tmp_path / "toy")
    model = small_cyclegan(schedule=Constant())
    fit_toy(model, data).save_checkpoint(tmp_path / "first.ckpt")
    fit_toy(model, data, RunReport(str(run)), max_epochs=2, resume=tmp_path / "first.ckpt")
    assert "<h2>Metrics</h2>" in (run / "report.html").read_text()
    assert list(run.glob(".*")) == []


def test_other_devices_write_nothing(tmp_path: Path, written: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytorch_lightning.utilities.rank_zero.rank_zero_only.rank", 1)
    callback = RunReport(str(tmp_path))
    trainer, model = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu"), small_cyclegan()
    monkeypatch.setattr("pytorch_lightning.utilities.rank_zero.rank_zero_only.rank", 1)
    callback.on_train_start(trainer, model)
    callback.on_train_end(trainer, model)
    assert written == []
    assert list(tmp_path.iterdir()) == []
