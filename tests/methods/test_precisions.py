"""The losses of a few training steps in each precision, compared with float32."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision

from tests.small import fit, random_batches, small_cyclegan

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


class Losses(pl.Callback):
    """Records the losses of every step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.seen.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def losses(accelerator: str, precision: str) -> list[dict[str, float]]:
    """Return the losses of each of five steps; the precision tf32 is float32 with TF32 in convolutions."""
    recorder = Losses()
    arguments: dict[str, Any] = {"precision": "32-true" if precision == "tf32" else precision}
    if precision == "16-mixed":  # the usual first scale overflows, and the first steps would be left out
        scaler = torch.amp.GradScaler(accelerator, init_scale=256)
        arguments = {"plugins": MixedPrecision("16-mixed", accelerator, scaler)}
    with torch.backends.cudnn.flags(allow_tf32=precision == "tf32", deterministic=True):
        fit(
            small_cyclegan(),
            5 * random_batches(1, size=2, pixels=32),
            accelerator=accelerator,
            callbacks=[recorder],
            **arguments,
        )
    return recorder.seen


@pytest.mark.filterwarnings("default")  # Lightning's and torch's advice about the device
@pytest.mark.parametrize(
    ("accelerator", "precision", "bound"),
    [
        ("cpu", "bf16-mixed", 0.01),  # 8 bits of mantissa
        pytest.param("cuda", "bf16-mixed", 0.01, marks=GPU),
        pytest.param("cuda", "16-mixed", 0.003, marks=GPU),  # 11 bits
        pytest.param("cuda", "tf32", 0.003, marks=GPU),  # 11 bits
    ],
)
def test_losses_of_a_precision_are_those_of_float32(accelerator: str, precision: str, bound: float) -> None:
    exact, found = losses(accelerator, "32-true"), losses(accelerator, precision)
    assert found != exact, "the precision has an effect"
    assert exact[-1]["train/cycle_a"] < 0.97 * exact[0]["train/cycle_a"], "the steps learn"
    for step, expected in zip(found, exact, strict=True):
        assert step == pytest.approx(expected, rel=bound)
