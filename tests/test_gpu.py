"""A CUDA device trains, resumes, measures and translates as the CPU does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

import cyclegan
from cyclegan.datasets.toy import draw
from cyclegan.images import PixelFormat
from cyclegan.images.tensors import normalise
from cyclegan.train.command import train
from tests.callbacks.test_no_waiting import EVERY, STEPS
from tests.data.image_folders import data_of, image_folder
from tests.tiny_run import (
    SMALL_NETWORKS,
    TINY,
    UNMEASURED,
    StoppedError,
    composed,
    differences,
    metrics,
    read_checkpoint,
    stop_at,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("default"),  # Lightning's and torch's advice about the device
    pytest.mark.usefixtures("quiet"),
]

ON_GPU = (
    *("trainer.accelerator=gpu", "trainer.deterministic=true", "features=random", "data.source=null"),
    *("callbacks.checkpointing.every_n_images=2", "model.pool_size=3", "model.compile=false"),
)


def draw_jpegs(root: Path, train: int) -> Path:
    """Draw the toy set as JPEG files: a machine that is lent for training may lack what decodes PNG."""
    draw(root, train=train, test=2, size=24)
    for file in root.glob("*/*.png"):
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_jpegs(tmp_path_factory.mktemp("data") / "toy", train=5)


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("trainer.precision=bf16-mixed", "callbacks=ema"),
        ("trainer.precision=16-mixed", "trainer.gradient_clip_val=0.5"),
        ("trainer.strategy=ddp", "generator=unet128"),  # NCCL with one process; dropout draws on the device
        ("model=pix2pix", "generator=unet128", "trainer.precision=16-mixed", "trainer.gradient_clip_val=0.5"),
    ],
    ids=["float32", "bf16, averaged weights", "fp16, clipped", "ddp, dropout", "turns, fp16, clipped"],
)
def test_a_run_resumes_bit_for_bit(root: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    words = [*(word for word in ON_GPU if "pool" not in word or "model=pix2pix" not in overrides), *overrides]
    train(composed(tmp_path / "whole", root, *words))
    with pytest.raises(StoppedError):
        train(composed(tmp_path / "cut", root, *words, *stop_at("on_after_backward", 4)))
    train(composed(tmp_path / "cut", root, *words, "resume=auto"))
    one, other = (read_checkpoint(tmp_path / name) for name in ("whole", "cut"))
    entries = ("state_dict", "optimizer_states", "lr_schedulers", "ranks", "data")
    assert [d for entry in entries for d in differences(one[entry], other[entry], entry)] == []
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "cut")


class NeverWait(pl.Callback):
    """Raise an error where a step waits for the GPU, between the rows after the first `EVERY` steps and the next."""

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        between = EVERY <= trainer.global_step < 2 * EVERY - 1
        torch.cuda.set_sync_debug_mode("error" if between else "default")


@pytest.mark.parametrize(
    "words",
    [
        ("trainer.precision=bf16-mixed",),
        ("trainer.precision=16-mixed", "trainer.gradient_clip_val=0.5", "model.compile=false"),
        ("trainer.strategy=ddp",),
        ("model.compile=reduce-overhead", "trainer.accumulate_grad_batches=2"),
    ],
    ids=["bf16, compiled", "fp16, clipped", "ddp, compiled", "CUDA graphs, accumulated"],
)
def test_no_step_waits_for_the_gpu_between_two_rows(tmp_path: Path, words: tuple[str, ...]) -> None:
    target = f"{NeverWait.__module__}.{NeverWait.__qualname__}"
    pool = "model.pool_size=3"  # which draws on the CPU
    try:
        words = (*STEPS, *words, "trainer.accelerator=gpu", pool, f"+callbacks.never_wait._target_={target}")
        trainer = train(composed(tmp_path / "run", draw_jpegs(tmp_path / "toy", train=20), *words, "data.source=null"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trainer.global_step == 10


def test_the_first_steps_and_the_validation_equal_those_of_the_cpu(root: Path, tmp_path: Path) -> None:
    for accelerator in ("gpu", "cpu"):
        words = [*ON_GPU, f"trainer.accelerator={accelerator}", "trainer.max_epochs=1"]
        train(composed(tmp_path / accelerator, root, *words))
    rows = [metrics(tmp_path / accelerator) for accelerator in ("gpu", "cpu")]
    assert len(rows[0]) == len(rows[1])
    for on_gpu, on_cpu in zip(*rows, strict=True):
        # Outputs are rounded to uint8 before they are measured: SSIM differed by 1e-3 on an H200, all else by less.
        assert on_gpu == pytest.approx(on_cpu, rel=5e-3, abs=3e-3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16])
def test_integers_are_scaled_as_on_the_cpu(dtype: torch.dtype) -> None:
    limits = torch.iinfo(dtype)
    stored = torch.arange(limits.min, limits.max + 1).to(dtype)
    for pixel_format in (PixelFormat(), PixelFormat(range=(3, 200))):
        assert normalise(stored.cuda(), pixel_format).cpu().equal(normalise(stored, pixel_format))


def test_batches_wait_for_the_gpu_as_stored_in_pinned_memory(tmp_path: Path) -> None:
    data = data_of(image_folder(tmp_path, trainA=2, trainB=2), num_workers=1)
    (batch,) = data.train_dataloader()
    for images in batch.values():
        assert images.is_pinned()
        assert images.dtype == torch.uint8


@pytest.mark.parametrize("compiled", ["true", "reduce-overhead"])
def test_a_compiled_run_equals_an_uncompiled_one(root: Path, tmp_path: Path, compiled: str) -> None:
    for name in (compiled, "false"):
        words = [*ON_GPU, *UNMEASURED, "trainer.max_epochs=1", f"model.compile={name}"]
        train(composed(tmp_path / name, root, *words))
    rows = [metrics(tmp_path / name) for name in (compiled, "false")]
    for fast, eager in zip(*rows, strict=True):
        assert fast == pytest.approx(eager, rel=5e-3, abs=3e-3)


def test_a_checkpoint_of_the_gpu_translates_the_same_on_both_devices(root: Path, tmp_path: Path) -> None:
    train(composed(tmp_path, root, *ON_GPU, "trainer.max_epochs=1"))
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    on_cpu = cyclegan.load(tmp_path).translate(images, "A", "B")
    on_gpu = cyclegan.load(tmp_path, device="cuda").translate(images.cuda(), "A", "B")
    assert on_gpu.device.type == "cuda"
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, atol=2e-3, rtol=0)


def test_jobs_of_a_sweep_share_the_gpus_and_train_as_single_runs_do(root: Path, tmp_path: Path) -> None:
    words = [*TINY, *SMALL_NETWORKS, *ON_GPU, f"data.root={root}", "name=pair", "seed=0,1", "hydra.launcher.jobs=2"]
    subprocess.run([sys.executable, "-m", "cyclegan.train", "-m", *words], cwd=tmp_path, check=True)
    for seed in (0, 1):
        train(composed(tmp_path / str(seed), root, *ON_GPU, f"seed={seed}"))
        one, other = (
            read_checkpoint(run) for run in (tmp_path / str(seed), tmp_path / "runs" / "pair" / f"seed={seed}")
        )
        assert [d for entry in ("state_dict", "ranks") for d in differences(one[entry], other[entry], entry)] == []
