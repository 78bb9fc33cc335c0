"""Runs in wandb: logged values, resumed runs, the choice of mode, and failures, which never end a training."""

import logging
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from omegaconf import OmegaConf
from pytorch_lightning.utilities.rank_zero import rank_zero_only

import cyclegan
from cyclegan.errors import UserError
from cyclegan.images import read, write
from cyclegan.loggers import new_run_id
from cyclegan.loggers.wandb import Wandb, logged_in
from cyclegan.train.command import train
from tests.loggers.fake_run import FakeRun, replace_init
from tests.tiny_run import UNMEASURED, composed, training_rows
from tests.toy_runs import logged

pytestmark = pytest.mark.usefixtures("quiet")


def logger_at(folder: Path) -> Wandb:
    return Wandb(str(folder), project="p", name="n", id="aaaa1111")


def test_configuration_curves_alarms_and_samples_are_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun()
    monkeypatch.setattr(wandb, "Image", lambda path, caption="": (path, caption))
    monkeypatch.setattr(wandb, "Table", lambda columns, data: len(data))
    replace_init(monkeypatch, online=lambda **_: run)
    train(composed(tmp_path / "run", tmp_path / "toy", "logger=default", "callbacks.alarms.rules=null"))
    assert run.stored.pop("cyclegan")["version"] == cyclegan.__version__
    assert run.stored == OmegaConf.to_container(OmegaConf.load(tmp_path / "run" / "config.yaml"))
    assert run.stored["data"]["root"] == str(tmp_path / "toy"), "resolved, not ${...}"
    assert (run.axes["images_seen"], run.axes["*"]) == (None, "images_seen")
    assert run.calls[-2:] == ["exit 0", "finish"]
    terms = ("adv_ab", "adv_ba", "cycle_a", "cycle_b", "identity_a", "identity_b", "disc_a", "disc_b")
    for name in [*(f"train/{term}" for term in terms), "images_per_s"]:
        assert [seen for seen, _ in run.curve(name)] == [2, 4, 6, 8, 10, 12], name
    assert run.curve("lr/generators")[2:4] == [(6, 5e-4), (8, 2.5e-4)]
    assert {(0, 0.0), (6, 1.0), (12, 2.0)} < set(run.curve("epoch"))
    assert [seen for seen, _ in run.curve("val/psnr_ab")] == [0, 6, 12]
    assert [seen for seen, _ in run.curve("alarm/copies_input")] == [6, 12]
    assert run.curve("translations") == [(0, 4), (6, 4), (12, 4)], "two images of each direction"
    caption = "real_a | fake_b | rec_a | real_b | fake_a | rec_b"
    files = [str(tmp_path / "run" / "samples" / f"epoch{epoch:04d}.jpg") for epoch in range(3)]
    samples = [(step, [(file, caption)]) for step, file in zip((0, 6, 12), files, strict=True)]
    assert [(row["images_seen"], row["samples"]) for row in run.rows if "samples" in row] == samples


def test_an_offline_run_stores_images_unchanged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = np.full((8, 8, 3), 200, np.uint8)
    write(image, tmp_path / "grid.jpg")
    logger = Wandb(str(tmp_path), project="other", name="second")
    with caplog.at_level(logging.INFO, "cyclegan"):
        logger.log_image("samples", [str(tmp_path / "grid.jpg")], step=12)
    logger.finalize("failed")
    assert wandb.run is None, "the run is closed"
    (stored,) = (tmp_path / "wandb").glob("offline-run-*/files/media/images/*.jpg")
    assert stored.read_bytes() == (tmp_path / "grid.jpg").read_bytes()
    assert np.asarray(read(stored)).mean() > 150, "floats of [0, 1] cast to bytes would be black"
    assert logged(caplog) == [
        f"wandb     offline, WANDB_MODE=offline; to upload: wandb sync {tmp_path}/wandb/offline-run-*"
    ]


def test_ids_do_not_depend_on_the_seed() -> None:
    random.seed(0)
    one = new_run_id()
    random.seed(0)
    assert one != new_run_id()
    assert re.fullmatch("[a-z0-9]{8}", one)


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"images_seen": 8}, [12, 16]),
        (None, [0, 4, 8, 12, 16]),
    ],
)
def test_points_on_the_server_are_not_logged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summary: dict[str, Any] | None, expected: list[int]
) -> None:
    run, asked = FakeRun(summary=summary), {}
    replace_init(monkeypatch, online=lambda **arguments: asked.update(arguments) or run)
    logger = logger_at(tmp_path)
    for step in (0, 4, 8, 12, 16):
        logger.log_metrics({"loss": 1.0}, step=step)
        logger.flag("alarm/copies_input", f"at {step}", step=step)
    assert (asked["id"], asked["resume"], asked["mode"]) == ("aaaa1111", "allow", "online")
    assert [row["images_seen"] for row in run.rows] == expected
    assert run.alerts == [("alarm/copies_input", f"at {step}", "WARN") for step in expected]


@pytest.fixture
def logged_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a missing netrc on a machine without login."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "NETRC", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".netrc"


KEY = "0123456789abcdef" * 2 + "01234567"


def mode(run_dir: Path) -> Any:
    """Return the mode of a new run, which starts at its first metric only."""
    return logger_at(run_dir)._wandb_init["mode"]


def test_without_a_key_the_run_is_offline_and_with_a_key_online(
    logged_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mode(logged_out.parent) == "offline"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert mode(logged_out.parent) == "online"
    monkeypatch.setenv("WANDB_API_KEY", "")
    assert not logged_in()


def test_a_stored_login_is_used_for_its_server_only(logged_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged_out.write_text(f"machine github.com login user password {KEY}\n")
    assert not logged_in()
    logged_out.write_text(f"machine api.wandb.ai login user password {KEY}\n")
    assert logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert not logged_in()
    monkeypatch.delenv("WANDB_BASE_URL")
    for damaged in (b"machine api.wandb.ai login user", b"\xff"):
        logged_out.write_bytes(damaged)
        assert not logged_in()


def test_wandb_mode_overrides_the_login(logged_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert mode(logged_out.parent) == "disabled"


def test_an_unknown_wandb_mode_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    logger = logger_at(tmp_path)
    logger.log_metrics({"loss": 1.0}, step=4)
    logger.finalize("success")
    (line,) = logged(caplog)
    assert line.startswith("wandb     off from here on, training continues: ")
    assert "nonsense" in line


def failing(error: Exception) -> Callable[..., Any]:
    def init(**arguments: Any) -> Any:
        raise error

    return init


def used(folder: Path) -> Wandb:
    """Log hyperparameters and two rows to a new logger, and finalize it."""
    logger = logger_at(folder)
    logger.log_hyperparams({"seed": 1})
    for step in (4, 8):
        logger.log_metrics({"loss": 1.0}, step=step)
    logger.finalize("success")
    return logger


def test_a_server_that_cannot_be_reached_makes_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = FakeRun(offline=True)
    no_server = failing(wandb.errors.CommError("no\nroute to host"))
    started = replace_init(monkeypatch, online=no_server, offline=lambda **_: run)
    monkeypatch.setattr(wandb, "teardown", lambda: started.append("teardown"))
    used(tmp_path)
    assert logged(caplog) == [
        f"wandb     offline, CommError: no route to host; to upload: wandb sync {tmp_path}/wandb/offline-run-*"
    ]
    assert started == ["online", "teardown", "offline", "teardown"], "the id is in use until wandb's process ends"
    assert run.curve("loss") == [(4, 1.0), (8, 1.0)]


def test_training_continues_if_offline_mode_fails_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = OSError(28, "No space left on device")
    key = wandb.errors.AuthenticationError("key")
    started = replace_init(monkeypatch, online=failing(key), offline=failing(full))
    train(composed(tmp_path / "run", tmp_path / "toy", "logger=default", *UNMEASURED))
    assert [row["images_seen"] for row in training_rows(tmp_path / "run")] == [2, 4, 6, 8, 10, 12]
    assert logged(caplog, "cyclegan.loggers.wandb") == [
        "wandb     off from here on, training continues: OSError: [Errno 28] No space left on device"
    ]
    assert started == ["online", "offline"], "each mode is tried once"


@pytest.mark.parametrize("name", ["define_metric", "config.update", "log", "finish"])
def test_after_a_failed_call_only_the_run_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    run = FakeRun(name)
    started = replace_init(monkeypatch, online=lambda **_: run)
    logger = used(tmp_path)
    logger.flag("alarm/copies_input", "A→B", step=8)
    logger.experiment.summary.update({"a": 1})
    logger.finalize("success")
    assert logged(caplog) == ["wandb     off from here on, training continues: ConnectionResetError: Connection lost"]
    after = run.calls[run.calls.index(name) + 1 :]
    assert after == ([] if name == "finish" else ["exit 0", "finish"])
    assert started == ["online"]


@pytest.mark.parametrize("lost", ["a table", "an alert"])
def test_a_failed_table_or_alert_is_one_warning_and_metrics_are_still_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lost: str
) -> None:
    run = FakeRun("alert" if lost == "an alert" else "log")
    replace_init(monkeypatch, online=lambda **_: run)
    logger = logger_at(tmp_path)
    if lost == "an alert":
        logger.flag("alarm/copies_input", "A→B", step=4)
    else:
        logger.log_image_table("translations", ["image"], [["0.png"]], step=4)
    run.failing = ""
    logger.log_metrics({"loss": 1.0}, step=4)
    assert run.curve("loss") == [(4, 1.0)]
    assert logged(caplog) == [f"wandb     {lost} could not be sent: ConnectionResetError: Connection lost"]


def test_a_failed_upload_does_not_keep_the_run_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    run = FakeRun("log_artifact")
    replace_init(monkeypatch, online=lambda **_: run)
    logger = Wandb(str(tmp_path), project="p", name="n", upload=["best"])
    logger.log_metrics({"loss": 1.0}, step=4)
    logger.finalize("success")
    assert run.calls[-2:] == ["exit 0", "finish"]
    assert logged(caplog) == ["wandb     upload=best could not be sent: ConnectionResetError: Connection lost"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("success", ["exit 0", "finish"]),
        ("preempted", ["mark_preempting", "exit 1", "finish"]),
        ("failed", ["exit 1", "finish"]),
    ],
)
def test_the_run_ends_once_and_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, expected: list[str]
) -> None:
    run = FakeRun()
    started = replace_init(monkeypatch, online=lambda **_: run)
    logger = logger_at(tmp_path)
    logger.finalize(status)
    assert started == [], "no run was started"
    logger.log_metrics({"loss": 1.0}, step=4)
    logger.finalize(status)
    logger.finalize("failed")  # as Lightning does after an error
    assert run.calls == ["define_metric", "define_metric", "log", *expected]


def test_an_upload_that_takes_too_long_is_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(FakeRun):
        def finish(self, exit_code: int) -> None:
            raise TimeoutError("Timed out finishing run.")  # as wandb does

    replace_init(monkeypatch, online=lambda **_: Slow())
    used(tmp_path)
    assert logged(caplog) == ["wandb     uploads stopped after 120 s, the last points may be missing"]


def test_an_image_that_wandb_cannot_write_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replace_init(monkeypatch, online=lambda **_: FakeRun())
    logger_at(tmp_path).log_image("samples", [str(tmp_path / "missing.jpg")], step=4)
    (line,) = logged(caplog)
    assert line.startswith("wandb     off from here on, training continues: FileNotFoundError: ")


def test_the_best_value_continues_on_a_resume_and_leaves_out_what_is_not_finite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metrics.csv").write_text("images_seen,val/kid,val/psnr,val/fid\n0,0.01,90,\n4,0.25,nan,\n8,0.5,20,\n")
    run = FakeRun(summary={"images_seen": 8})
    replace_init(monkeypatch, online=lambda **_: run)
    logger = logger_at(tmp_path)
    logger.log_metrics({"val/kid": 0.75, "val/psnr": math.nan, "val/fid": 3.0, "val/change": 1.0}, step=12)
    logger.log_metrics({"val/kid": 0.125, "val/psnr": 30.0, "val/fid": 4.0}, step=16)
    assert run.curve("best/kid") == [(12, 0.25), (16, 0.125)]
    assert run.curve("best/psnr") == [(16, 30.0)]
    assert run.curve("best/fid") == [(12, 3.0), (16, 3.0)]
    assert not run.curve("best/change"), "which has no better side"


@pytest.mark.parametrize(
    ("files", "expected", "tags"),
    [
        (["prune"], ["exit 0", "finish"], ("mine", "pruned")),
        ([], ["mark_preempting", "exit 1", "finish"], ("mine",)),
    ],
)
def test_a_job_that_its_sweep_pruned_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], expected: list[str], tags: tuple[str, ...]
) -> None:
    run = FakeRun()
    replace_init(monkeypatch, online=lambda **_: run)
    logger = logger_at(tmp_path)
    logger.log_metrics({"loss": 1.0}, step=4)
    for name in files:
        (tmp_path / name).touch()
    logger.finalize("preempted")
    assert run.calls[run.calls.index("log") + 1 :] == expected
    assert run.tags == tags


@pytest.mark.parametrize(("status", "uploads"), [("success", True), ("preempted", False), ("failed", False)])
def test_files_are_uploaded_when_the_training_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: str, uploads: bool
) -> None:
    page = "<html><head></head><body>a report</body></html>"
    (tmp_path / "report.html").write_text(page)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"weights")
    run, asked = FakeRun(), {}
    replace_init(monkeypatch, online=lambda **arguments: asked.update(arguments) or run)
    logger = Wandb(str(tmp_path), project="p", name="n", upload=["report", "best", "last"])
    logger.log_metrics({"loss": 1.0}, step=4)
    logger.finalize(status)
    assert [row["report"].html for row in run.rows[1:]] == [page] * uploads, "unchanged"
    assert list(run.artifacts) == [("last",)] * uploads
    assert [message for message in logged(caplog) if "upload" in message] == [
        f"wandb     upload=best: there is no {tmp_path}/checkpoints/best.ckpt"
    ] * uploads
    assert asked["settings"].finish_timeout == 3600, "checkpoints take longer than points"
    assert ("upload" in asked) is False, "no argument of wandb.init"


def test_an_unknown_upload_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"logger\.wandb\.upload is \['model'\]; it can hold report, best, last"):
        Wandb(str(tmp_path), project="p", name="n", upload=["model"])


def test_further_devices_start_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = replace_init(monkeypatch, online=lambda **_: FakeRun())
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = logger_at(tmp_path)
    logger.log_hyperparams({"seed": 1})
    logger.log_metrics({"val/kid": 1.0}, step=4)
    logger.log_image_table("translations", ["image"], [[np.zeros((8, 8, 3), np.uint8)]], step=4)
    logger.flag("alarm/copies_input", "A→B", step=4)
    logger.finalize("success")
    assert started == []
