"""Non-finite losses and gradients: the run stops, or the batch is skipped."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from cyclegan.callbacks.checkpointing import Checkpointing
from cyclegan.callbacks.nonfinite import NonFiniteError, NonFiniteGuard
from cyclegan.callbacks.run_state import RunState
from cyclegan.checkpoint.reading import read
from cyclegan.errors import UserError
from tests.small import discriminator, generator, small_cyclegan
from tests.tiny_run import differences
from tests.toy_runs import fit_small, fit_toy, logged, toy_data

NAN = float("nan")


class Poison(pl.Callback):
    """Set one pixel of domain A to NaN in these batches of an epoch; place it after the guard."""

    def __init__(self, *batches: int) -> None:
        self.batches = batches

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx in self.batches:
            batch["A"][0, 0, 0, 0] = NAN


def spoil(parameter: torch.Tensor) -> None:
    """Make a gradient infinite."""
    assert parameter.grad is not None
    parameter.grad.fill_(float("inf"))


def test_the_run_stops_with_finite_weights_and_the_error_names_terms_and_files(tmp_path: Path) -> None:
    saving = Checkpointing(str(tmp_path), every_n_images=2)
    model, data = small_cyclegan(), toy_data(tmp_path / "toy")
    with pytest.raises(NonFiniteError) as caught:
        fit_toy(model, data, NonFiniteGuard(), Poison(2), saving)
    text = str(caught.value)
    assert "train/cycle_a is nan" in text
    assert "train/adv_ab is nan" in text
    assert "train/adv_ba" not in text, "B to A is finite"
    assert "at 6 images" in text
    for domain, files in data.last_batch_files().items():
        assert len(files) == 2
        for file in files:
            assert file in text
            assert f"train{domain}" in file
    assert differences(dict(model.state_dict()), read(tmp_path / "checkpoints" / "last.ckpt")["state_dict"]) == []


class Files(pl.Callback):
    """Record the files of each batch, and the ends of epochs."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.epochs = 0

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        files = trainer.datamodule.last_batch_files()  # type: ignore[attr-defined]
        self.batches.append([file for domain in files.values() for file in domain])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs += 1


@pytest.mark.parametrize(
    ("arguments", "every_n_images", "batches"),
    [
        ({"log_every_n_steps": 4}, None, 8),
        ({"log_every_n_steps": 50}, 6, 6),  # instead of the second checkpoint
        ({"log_every_n_steps": 50}, None, 10),
        ({"log_every_n_steps": 50, "max_steps": 8}, None, 8),
        ({"log_every_n_steps": 3, "accumulate_grad_batches": 3}, None, 9),
    ],
    ids=["row", "checkpoint", "epoch", "max_steps", "accumulated"],
)
def test_between_two_readings_the_first_spoilt_batch_is_named_and_nothing_is_written(
    tmp_path: Path, arguments: dict[str, Any], every_n_images: int | None, batches: int
) -> None:
    saving = Checkpointing(str(tmp_path), every_n_images=every_n_images, every_n_epochs=None)
    model, data, files = small_cyclegan(), toy_data(tmp_path / "toy", train=20), Files()
    with pytest.raises(NonFiniteError, match=r"train/cycle_a is nan, .* at 10 images, in a batch of A: ") as caught:
        fit_toy(model, data, files, NonFiniteGuard(), Poison(4), saving, **arguments)
    assert re.findall(r"[^ ;,]+\.png", str(caught.value)) == files.batches[4]
    assert len(files.batches) == batches
    assert files.epochs == 0, "no sample, no validation"
    saved = sorted(path.name for path in tmp_path.glob("checkpoints/*"))
    assert saved == (["images000000006.ckpt", "last.ckpt"] if every_n_images else [])


def test_a_non_finite_gradient_stops_the_run(tmp_path: Path) -> None:
    model = small_cyclegan()
    model.get_parameter("disc_b.model.0.weight").register_post_accumulate_grad_hook(spoil)
    with pytest.raises(NonFiniteError, match=r"losses are finite, but the gradient norm of disc_b is inf at 2 images"):
        fit_toy(model, toy_data(tmp_path / "toy"), NonFiniteGuard())


def test_a_skipped_batch_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = small_cyclegan(
        pool_size=3,
        generator=partial(generator, norm="batch"),  # a forward pass updates its statistics
        discriminator=partial(discriminator, norm="batch"),
    )
    saving = Checkpointing(str(tmp_path), every_n_images=2, keep_last=9)
    data = toy_data(tmp_path / "toy", train=10)
    fit_toy(model, data, NonFiniteGuard("skip"), RunState({}), saving, Poison(1, 2))
    states = [read(tmp_path / "checkpoints" / f"images{n:09d}.ckpt") for n in (2, 4, 6, 8, 10)]
    for before, after in ((states[0], states[1]), (states[1], states[2])):
        for entry in ("state_dict", "ranks"):
            assert differences(before[entry], after[entry]) == [], entry
    assert differences(states[2]["state_dict"], states[3]["state_dict"]), "training continues"
    assert all(torch.isfinite(value).all() for value in states[4]["state_dict"].values())
    assert all(torch.isfinite(i).all() for p in states[4]["ranks"][0]["pools"].values() for i in p["images"])
    adam = states[4]["optimizer_states"][0]["state"]
    assert {float(entry["step"]) for entry in adam.values()} == {3.0}, "of five batches"
    skips = logged(caplog, "cyclegan.callbacks.nonfinite")
    assert len(skips) == 2
    assert "batch skipped (2 of at most 20)" in skips[1]
    assert states[4]["callbacks"]["NonFiniteGuard"] == {"skips": 2}


def gradients(module: pl.LightningModule) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


class Gradients(pl.Callback):
    """Store the gradients after each batch and before each optimiser step."""

    def __init__(self) -> None:
        self.after: list[dict[str, torch.Tensor]] = []
        self.step: list[dict[str, torch.Tensor]] = []

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.after.append(gradients(pl_module))

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.step.append(gradients(pl_module))


@pytest.mark.parametrize("spoilt", [0, 2])
def test_a_skipped_batch_keeps_the_accumulated_gradients_of_others(tmp_path: Path, spoilt: int) -> None:
    model, data, seen = small_cyclegan(), toy_data(tmp_path / "toy", train=12), Gradients()
    fit_toy(model, data, NonFiniteGuard("skip"), Poison(spoilt), seen, accumulate_grad_batches=3)
    assert len(seen.after) == 6
    assert differences(seen.after[spoilt], seen.after[spoilt - 1] if spoilt else {}) == []
    assert [differences(step, seen.after[n]) for step, n in zip(seen.step, (2, 5), strict=True)] == [[], []]
    for step in seen.step:
        assert step.keys() == dict(model.named_parameters()).keys()
        assert all(torch.isfinite(gradient).all() for gradient in step.values())


def test_max_skips_counts_across_a_resume(tmp_path: Path) -> None:
    saving = Checkpointing(str(tmp_path), every_n_images=2)
    with pytest.raises(NonFiniteError, match="after 2 skipped batches"):
        fit_small(tmp_path, NonFiniteGuard("skip", 2), Poison(0, 1, 2), saving)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert read(last)["callbacks"]["NonFiniteGuard"] == {"skips": 2}
    with pytest.raises(NonFiniteError, match="after 2 skipped batches"):
        fit_small(tmp_path, NonFiniteGuard("skip", 2), Poison(2), resume=last)


class LogsNan(pl.Callback):
    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == 0:
            pl_module.log("train/rare", NAN, on_step=True, on_epoch=False, logger=False)


def test_a_term_that_is_logged_in_some_batches_only_spoils_no_later_batch(tmp_path: Path) -> None:
    guard = NonFiniteGuard("skip")
    fit_small(tmp_path, guard, LogsNan())  # Lightning keeps the last value of a term
    assert guard.skips == 0


def test_another_answer_is_refused() -> None:
    with pytest.raises(UserError, match="on_nonfinite is 'pass'; it is stop or skip"):
        NonFiniteGuard("pass")  # type: ignore[arg-type]
