"""Summary that is logged before training."""

import logging
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cyclegan.callbacks import run_summary
from cyclegan.callbacks.memory import Memory
from cyclegan.callbacks.run_summary import RunSummary
from cyclegan.methods.cyclegan import CycleGAN
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


def on_a_gpu_of(size: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return the level and text of the line about memory, with the CPU in the place of a GPU of `size` bytes."""
    monkeypatch.setattr(run_summary, "gpu_memory", lambda device: size)
    trainer: Any = SimpleNamespace(world_size=1, num_nodes=1, accumulate_grad_batches=1, precision="32-true")
    trainer.datamodule = SimpleNamespace(batch_size=2, crop_size=32, describe=list)
    trainer.strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer.callbacks, trainer.precision_plugin = [], SimpleNamespace(forward_context=nullcontext)
    with caplog.at_level(logging.INFO, "cyclegan"):
        RunSummary("run").on_fit_start(trainer, small_cyclegan())
    (record,) = [record for record in caplog.records if record.getMessage().startswith("memory")]
    return record.levelname, record.getMessage()


def test_logs_the_memory_of_training_on_a_gpu(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(state=int(0.4 * 2**30), pools=int(0.1 * 2**30), step=2 * 2**30)
    monkeypatch.setattr(run_summary, "estimate", lambda *_: memory)
    for size, level in ((2.79, "INFO"), (2.76, "WARNING")):  # 2.5 GB and a tenth of the GPU's memory
        caplog.clear()
        found = on_a_gpu_of(int(size * 2**30), caplog, monkeypatch)
        assert found[0] == level
        assert found[1].startswith(
            "memory    about 2.5 GB of 2.8 GB: 2.0 a step of 2 × 32², 0.4 weights and optimizer, 0.1 image pools"
        )


def test_advises_if_training_may_need_more_than_a_gpu_has(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    level, line = on_a_gpu_of(2**20, caplog, monkeypatch)
    assert level == "WARNING"
    assert "lower data.batch_size" in line
    assert "model.generator.activation_checkpointing=true" in line


def test_a_step_that_cannot_be_estimated_does_not_stop_the_run(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: CycleGAN, batch: Any, batch_idx: int) -> Any:
        return batch["A"].sum() if batch["A"].mean() > 0 else batch["B"].sum()

    monkeypatch.setattr(CycleGAN, "training_step", step)
    level, line = on_a_gpu_of(2**30, caplog, monkeypatch)
    assert (level, line.startswith("memory    not estimated: ")) == ("INFO", True)
