"""What wandb stores of a training, and when it is online."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from omegaconf import OmegaConf

from cyclegan.images import read
from cyclegan.loggers.wandb import Wandb, logged_in
from cyclegan.train.command import train
from tests.loggers.offline_runs import stored
from tests.tiny_run import composed


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training with the default loggers: four batches of four in two epochs."""
    folder = tmp_path_factory.mktemp("wandb")
    config = composed(
        folder / "run",
        folder / "toy",
        "name=tiny",
        "logger=default",
        "callbacks.alarms.rules=null",
        "data.source.train=8",
        "data.source.size=32",
        "data.load_size=32",
        "data.crop_size=32",
        "data.batch_size=4",
    )
    train(config)
    return folder / "run"


def test_the_whole_resolved_configuration_is_stored(run_dir: Path) -> None:
    found = stored(run_dir).config
    found.pop("_wandb", None)
    assert found == OmegaConf.to_container(OmegaConf.load(run_dir / "config.yaml"))
    assert found["model"]["generator"]["width"] == 4
    assert found["data"]["root"] == str(run_dir.parent / "toy"), "resolved, not ${...}"


def test_curves_are_stored_over_images_seen(run_dir: Path) -> None:
    run = stored(run_dir)
    assert (run.project, run.name, run.exit_code) == ("cyclegan", "tiny", 0)
    assert run.axes == {"*": "images_seen"}
    terms = ("adv_ab", "adv_ba", "cycle_a", "cycle_b", "identity_a", "identity_b", "disc_a", "disc_b")
    for name in [*(f"train/{term}" for term in terms), "images_per_s"]:
        assert [seen for seen, _ in run.curve(name)] == [4, 8, 12, 16], name
        assert all(value > 0 for _, value in run.curve(name)), name
    # Two epochs of the linear schedule: the rate, then half of it on the way to zero.
    assert run.curve("lr/generators") == [(4, 5e-4), (8, 5e-4), (12, 2.5e-4), (16, 2.5e-4)]
    assert run.curve("lr/discriminators") == run.curve("lr/generators")
    assert sorted(set(run.curve("epoch"))) == [(0, 0.0), (4, 0.5), (8, 1.0), (12, 1.5), (16, 2.0)]
    assert [seen for seen, _ in run.curve("val/psnr_ab")] == [0, 8, 16]
    assert run.curve("alarm/copies_input") == [(8, 0.0), (16, 0.0)]
    # The table beside it holds the same rows.
    rows = [line.split(",") for line in (run_dir / "metrics.csv").read_text().splitlines()]
    cycle = rows[0].index("train/cycle_a")
    assert run.curve("train/cycle_a") == [(int(row[0]), float(row[cycle])) for row in rows[1:] if row[cycle]]


def test_the_sample_images_are_those_on_disk_and_not_black(run_dir: Path) -> None:
    run = stored(run_dir)
    images = [row for row in run.history if "samples.filenames" in row]
    assert [row["images_seen"] for row in images] == [0, 8, 16]
    for epoch, row in enumerate(images):
        assert row["samples.captions"] == ["real_a | fake_b | rec_a | real_b | fake_a | rec_b"]
        (name,) = row["samples.filenames"]
        found = run.folder / "files" / name
        assert found.read_bytes() == (run_dir / "samples" / f"epoch{epoch:04d}.jpg").read_bytes()
        pixels = np.asarray(read(found))
        assert pixels.shape == (2 * (32 + 2) + 2, 6 * (32 + 2) + 2, 3)
        assert pixels[2:34, 2:34].mean() > 20, "floats of [0, 1] that are taken for bytes would be black"


def test_a_second_run_of_a_process_is_a_run_of_its_own(
    run_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert wandb.run is None, "the training has finished its run"
    logger = Wandb(str(tmp_path), project="other", name="second")
    with caplog.at_level(logging.INFO, "cyclegan"):
        logger.log_metrics({"train/cycle_a": 0.5}, step=12)
    logger.finalize("failed")
    assert wandb.run is None

    first, second = stored(run_dir), stored(tmp_path)
    assert second.id != first.id
    assert (second.project, second.name, second.exit_code) == ("other", "second", 1)
    assert second.curve("train/cycle_a") == [(12, 0.5)]
    assert len(first.curve("train/cycle_a")) == 4
    (line,) = [record.getMessage() for record in caplog.records if record.name == "cyclegan.loggers.wandb"]
    assert line == f"wandb     offline, WANDB_MODE=offline; to upload: wandb sync {tmp_path}/wandb/offline-run-*"


# ------------------------------------------------------------------------------------------ the login


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nobody is logged in; the path of the netrc that it does not have."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "NETRC", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".netrc"


KEY = "0123456789abcdef" * 2 + "01234567"


def mode(run_dir: Path) -> Any:
    """What wandb.init would be asked for; nothing begins before the first metric."""
    return Wandb(str(run_dir), project="p", name="n")._wandb_init["mode"]


def test_nobody_is_logged_in_so_the_run_is_offline(nobody: Path) -> None:
    assert not logged_in()
    assert mode(nobody.parent) == "offline"


def test_a_key_in_the_environment_is_a_login(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert logged_in()
    assert mode(nobody.parent) == "online"
    monkeypatch.setenv("WANDB_API_KEY", "")
    assert not logged_in()


def test_a_stored_login_counts_for_its_server_alone(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody.write_text(f"machine github.com\n  login user\n  password {KEY}\n")
    assert not logged_in()
    nobody.write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    assert logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert not logged_in()
    nobody.write_text(f"machine wandb.example.org\n  login user\n  password {KEY}\n")
    assert logged_in()


def test_netrc_may_lie_elsewhere_or_be_damaged(nobody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secrets").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "secrets"))
    assert logged_in()
    (tmp_path / "secrets").write_text("machine api.wandb.ai login user")  # no password
    assert not logged_in()
    (tmp_path / "secrets").write_text("what is this")
    assert not logged_in()
    (tmp_path / "secrets").write_bytes(b"\xff\xfe\x00")
    assert not logged_in()


def test_a_server_whose_address_is_none_has_no_login(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody.write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    monkeypatch.setenv("WANDB_BASE_URL", "http://[api.wandb.ai")
    assert not logged_in()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("offline", "offline"),
        ("disabled", "disabled"),
        ("online", "online"),
        ("dryrun", "offline"),  # older names
        ("run", "online"),
    ],
)
def test_the_variable_wandb_mode_overrules_the_login(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, found: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", wanted)
    assert mode(nobody.parent) == found
