"""Summary that is logged before training."""

import logging
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cyclegan.callbacks.run_summary import RunSummary
from cyclegan.networks.resnet import ResnetGenerator
from tests.small import small_cyclegan
from tests.toy_runs import fit_toy, logged, toy_data


def report(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Return the logged lines by their first word."""
    lines = logged(caplog, "cyclegan.callbacks.run_summary")
    return {line[:10].strip(): line[10:] for line in lines}  # the heading has ten columns


def test_logs_device_batch_images_and_parameters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "toy"
    model = small_cyclegan(generator=partial(ResnetGenerator, width=16, blocks=1))
    with caplog.at_level(logging.INFO, "cyclegan"):
        data, summary = toy_data(root, train=6, test=2), RunSummary(str(tmp_path / "run"))
        fit_toy(model, data, summary, accumulate_grad_batches=3, precision="bf16-mixed")
    generator = sum(p.numel() for p in model.gen_ab.parameters())
    found = report(caplog)
    assert found.pop("networks").startswith(f"gen_ab {generator / 1e6:.2f} M, gen_ba {generator / 1e6:.2f} M, disc_a ")
    assert found == {
        "run": str(tmp_path / "run"),
        "device": f"cpu ({torch.get_num_threads()} threads), precision bf16-mixed",
        "batch": "6 = 2 per device × 1 device × 3 accumulated",
        "images": f"trainA 6, trainB 6, testA 2, testB 2 from {root}",
        "domain A": "3 channels of RGB ×6; uint8 0 to 255 become -1 to 1",
        "domain B": "3 channels of RGB ×6; uint8 0 to 255 become -1 to 1",
        "pairing": "2 images of testA and testB are paired by name: PSNR, SSIM and L1 are measured",
    }


def test_the_effective_batch_counts_every_device_and_every_accumulated_batch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trainer: Any = SimpleNamespace(world_size=8, num_nodes=2, accumulate_grad_batches=2, precision="16-mixed")
    trainer.datamodule = SimpleNamespace(batch_size=4, describe=list)
    trainer.strategy = SimpleNamespace(root_device=torch.device("mps"))
    with caplog.at_level(logging.INFO, "cyclegan"):
        RunSummary("run").on_fit_start(trainer, small_cyclegan())
    assert report(caplog)["batch"] == "64 = 4 per device × 8 devices on 2 nodes × 2 accumulated"
    assert report(caplog)["device"] == "8 × mps, precision 16-mixed"
    assert "norm" not in report(caplog)


@pytest.mark.parametrize(("is_synced", "images"), [(False, "each device"), (True, "all devices")])
def test_logs_over_which_images_batch_norm_averages(
    is_synced: bool, images: str, caplog: pytest.LogCaptureFixture
) -> None:
    model: Any = small_cyclegan(generator=partial(ResnetGenerator, width=2, blocks=1, norm="batch"))
    if is_synced:
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    trainer: Any = SimpleNamespace(world_size=2, num_nodes=1, accumulate_grad_batches=1, precision="32-true")
    trainer.datamodule = SimpleNamespace(batch_size=1, describe=list)
    trainer.strategy = SimpleNamespace(root_device=torch.device("mps"))
    with caplog.at_level(logging.INFO, "cyclegan"):
        RunSummary("run").on_fit_start(trainer, model)
    assert report(caplog)["norm"] == f"batch norm over the images of {images}"
