"""cyclegan-demo: training, evaluation, and the printed PSNR gain over copying the input."""

import json
import logging
from functools import partial
from pathlib import Path

import pytest

from cyclegan import demo
from cyclegan.demo import main, run
from tests.tiny_run import SMALL_NETWORKS

TINY = (
    *SMALL_NETWORKS,
    "data.source.train=4",
    "data.source.test=3",
    "data.source.size=32",
    "data.load_size=32",
    "data.crop_size=32",
)


@pytest.fixture(autouse=True)
def keep_process_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the command from changing the warnings and the logging of the test process."""
    monkeypatch.setattr(demo, "quieten", lambda: None)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)


def test_one_epoch_is_trained_evaluated_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "run", partial(run, overrides=TINY))
    # Characters with a meaning in Hydra's overrides.
    root, output = tmp_path / "toy set, drawn", tmp_path / "runs [1] = {demo}"
    main(["--data", str(root), "--output", str(output), "--epochs", "1", "--seed", "3"])

    assert sorted(path.name for path in (output / "samples").iterdir()) == ["epoch0000.jpg", "epoch0001.jpg"]
    assert "\nseed: 3\n" in (output / "config.yaml").read_text()
    assert (output / "evaluation" / "best_A2B.jpg").exists()
    printed = capsys.readouterr().out
    metrics = json.loads((output / "evaluation" / "metrics.json").read_text())["checkpoints"][0]["metrics"]
    for way, name in (("A → B", "ab"), ("B → A", "ba")):
        copied, translated = metrics[f"psnr_copied_{name}"], metrics[f"psnr_{name}"]
        (line,) = [line for line in printed.splitlines() if line.startswith(way)]
        assert line.split()[3::2] == [f"{copied:.2f}", f"{translated:.2f}", f"{translated - copied:+.2f}"]
        assert 2 < translated < 40
    assert str(output / "evaluation" / "best_A2B.jpg") in printed


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "sea.jpg").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"cyclegan-demo: .*holiday is not empty and does not hold the toy set"):
        main(["--data", str(tmp_path / "holiday"), "--output", str(tmp_path / "run")])
    assert [path.name for path in (tmp_path / "holiday").iterdir()] == ["sea.jpg"]
