"""What overwrite=true clears away, and which process of a job may write into a run's folder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from cyclegan.run_folder import clear, is_alone

WRITTEN = (
    *("config.yaml", "environment.json", "metrics.csv", "train.log", "alarms.jsonl", "report.html"),
    *("checkpoints/last.ckpt", "checkpoints/best.ckpt", "samples/epoch=0001.jpg", "wandb/latest-run/run-1.wandb"),
    *("tensorboard/events", "validation/protocol.json", "validation/epoch=0001.csv"),
)


def test_all_that_a_run_writes_goes_and_what_the_user_put_there_stays(tmp_path: Path) -> None:
    for name in (*WRITTEN, "notes.txt", "mine/picture.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    clear(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "notes.txt"]
    assert (tmp_path / "mine" / "picture.png").exists()
    clear(tmp_path)  # and where there is nothing


@pytest.mark.parametrize(
    ("trainer", "gpus", "alone"),
    [
        ({"devices": 1}, 8, True),
        ({"devices": "1"}, 8, True),
        ({"devices": [3]}, 8, True),
        ({"devices": "3,"}, 8, True),
        ({"devices": "auto"}, 1, True),
        ({"devices": -1}, 0, True),
        ({"devices": "auto", "accelerator": "cpu"}, 8, True),
        ({"devices": "auto"}, 8, False),
        ({"devices": 2}, 8, False),
        ({"devices": [0, 3]}, 8, False),
        ({"devices": 1, "num_nodes": 2}, 1, False),
        ({"devices": 1, "strategy": "ddp"}, 1, False),
    ],
    ids=str,
)
def test_a_run_is_alone_on_one_device(
    monkeypatch: pytest.MonkeyPatch, trainer: dict[str, Any], gpus: int, alone: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    default = {"accelerator": "auto", "devices": 1, "num_nodes": 1, "strategy": "auto"}
    assert is_alone(OmegaConf.create(default | trainer)) == alone
