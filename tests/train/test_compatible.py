"""Values of a configuration that may change when a run is resumed, and classes that were renamed."""

import fnmatch
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from cyclegan.checkpoint.reading import read
from cyclegan.checkpoint.targets import RENAMED, resolve
from cyclegan.errors import RunError, UserError
from cyclegan.train.compatible import FREE, INEXACT, require_continuable, schedule_change
from cyclegan.train.resume import StartingPoint, require_same_run
from tests.small import small_cyclegan
from tests.tiny_run import composed


@cache
def plain(*overrides: str) -> dict[str, Any]:
    """A whole resolved configuration, as a checkpoint carries it."""
    found = OmegaConf.to_container(composed(Path("runs/x"), Path("data/toy"), *overrides), resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


# ---------------------------------------------------------------------------------------------- the configuration


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("name=other", "group=some", "run_dir=runs/y", "resume=auto", "overwrite=true", "init_from=a.ckpt"),
        ("data.root=elsewhere", "data.num_workers=7", "data.source=null", "data.cache=disk", "data.on_error=skip"),
        ("data.domains.A.train=elsewhere/trainA", "data.domains.B.test=b.txt", "data.domains.A.dtype=uint16"),
        ("trainer.max_epochs=50", "trainer.max_time='00:01:00:00'", "trainer.enable_model_summary=true"),
        ("callbacks.image_grid.count=2", "~callbacks.meter", "+callbacks.more={_target_: tests.tiny_run.Rates}"),
        ("logger=tensorboard", "schedule=cosine", "+trainer.profiler=simple", "trainer.deterministic=true"),
        ("model.generator.activation_checkpointing=true",),
    ],
)
def test_keys_without_influence_on_the_weights_may_change(overrides: tuple[str, ...]) -> None:
    assert require_continuable(plain(), plain(*overrides)) == []
    assert require_continuable(plain(*overrides), plain()) == []


def test_conversions_and_sizes_that_training_refused_may_be_allowed_later() -> None:
    """Unless the run skipped such images, and would now see others."""
    allowed = ("data.max_pixels=100000000", "data.domains.B.convert=[alpha]")
    assert require_continuable(plain(), plain(*allowed)) == []
    for override in allowed:
        with pytest.raises(RunError, match=r"data\.(max_pixels|domains\.B\.convert)"):
            require_continuable(plain("data.on_error=skip"), plain("data.on_error=skip", override))
    with pytest.raises(RunError, match=r"data\.domains\.B\.convert: \[alpha\] → \[\]"):
        require_continuable(plain("data.domains.B.convert=[alpha]"), plain())


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("model.optimizer.betas=[0.9,0.999]", "model.optimizer.betas: [0.5, 0.999] → [0.9, 0.999]"),
        ("model.discriminator_lr=1e-3", "model.discriminator_lr: null → 0.001"),
        ("model.loss_weights.identity=0", "model.loss_weights.identity: 0.5 → 0"),
        (
            "adversarial=vanilla",
            "model.adversarial._target_: cyclegan.losses.adversarial.LeastSquares → "
            "cyclegan.losses.adversarial.Vanilla",
        ),
        ("data.flip=false", "data.flip: true → false"),
        ("data.domains.A.range=[0,99]", "data.domains.A.range: null → [0, 99]"),
        ("data.source.train=6", "data.source.train: 5 → 6"),
        ("trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches: 1 → 2"),
        ("trainer.gradient_clip_val=0.5", "trainer.gradient_clip_val: null → 0.5"),
        ("trainer.limit_train_batches=0.5", "trainer.limit_train_batches: 1.0 → 0.5"),
        ("trainer.limit_train_batches=1", "trainer.limit_train_batches: 1.0 → 1"),  # one batch, no longer all
    ],
)
def test_keys_that_the_weights_depend_on_are_refused(override: str, line: str) -> None:
    with pytest.raises(RunError) as error:
        require_continuable(plain(), plain(override))
    assert line in [text.strip() for text in str(error.value).splitlines()]


def test_every_refusal_is_listed_and_the_remedy_given() -> None:
    with pytest.raises(RunError) as error:
        require_continuable(plain(), plain("seed=5", "model.pool_size=3", "trainer.precision=bf16-mixed", "name=b"))
    assert str(error.value).splitlines() == [
        "a resumed run keeps its configuration, but these values differ from the checkpoint's:",
        "  seed: 0 → 5",
        "  model.pool_size: 50 → 3",
        "  model.seed: 0 → 5",
        "  data.seed: 0 → 5",
        "Give the old values, or begin a new run with these weights: name=... init_from=CHECKPOINT",
    ]


def test_keys_that_change_only_rounding_are_allowed_with_a_line_each() -> None:
    changed = plain("trainer.devices=2", "trainer.precision=bf16-mixed", "trainer.accelerator=auto", "schedule=cosine")
    assert require_continuable(plain(), changed) == [
        "trainer.accelerator: cpu → auto (no longer bit-exact)",
        "trainer.devices: 1 → 2 (no longer bit-exact)",
        "trainer.precision: 32-true → bf16-mixed (no longer bit-exact)",
    ]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ((), ("callbacks=ema",), "callbacks.ema: null → {_target_: cyclegan.callbacks.ema.Ema, decay: 0.999}"),
        (("callbacks=ema",), ("callbacks=ema_short",), "callbacks.ema.decay: 0.999 → 0.995"),
    ],
)
def test_an_average_of_weights_may_not_be_added_or_changed(before: Any, after: Any, line: str) -> None:
    with pytest.raises(RunError) as error:
        require_continuable(plain(*before), plain(*after))
    assert str(error.value).splitlines()[1:-1] == [f"  {line}"]


def test_a_run_without_callbacks_has_no_average() -> None:
    assert require_continuable({**plain(), "callbacks": None}, plain()) == []


def test_arguments_of_another_version_pass_but_not_another_part_or_domain() -> None:
    part = {"_target_": "a.Part", "width": 4}
    assert require_continuable({"model": part}, {"model": {**part, "added": 1}, "new_in_this_version": 2}) == []
    assert require_continuable({"model": {**part, "dropped": 1}}, {"model": part}) == []
    for old, new, line in (
        (part, {"_target_": "b.Part", "depth": 2}, "model._target_: a.Part → b.Part"),
        (None, part, "model: null → {_target_: a.Part, width: 4}"),
        ({"A": 3, "B": 3}, {"A": 3, "B": 3, "C": 3}, "model: {A: 3, B: 3} → {A: 3, B: 3, C: 3}"),
    ):
        with pytest.raises(RunError) as error:
            require_continuable({"model": old}, {"model": new})
        assert str(error.value).splitlines()[1:-1] == [f"  {line}"]


def test_1_equals_1_0_except_in_limit_train_batches() -> None:
    assert require_continuable({"model": {"rate": 1}}, {"model": {"rate": 1.0}}) == []


def test_the_trainers_keys_are_arguments_of_lightnings_trainer() -> None:
    for key in (*FREE, *INEXACT):
        if key.startswith("trainer."):
            assert fnmatch.filter(inspect.signature(pl.Trainer).parameters, key.partition(".")[2]), key


# ---------------------------------------------------------------------------------------------- the learning rate


def scheduled(schedule: str, lr: float | None = 2e-4, **arguments: Any) -> dict[str, Any]:
    call = {"_target_": f"cyclegan.optim.{schedule}", **arguments}
    return {"model": {"optimizer": {"lr": lr}, "schedule": call}}


def test_a_new_schedule_is_described_with_the_learning_rate_of_the_next_epoch() -> None:
    old, new = (scheduled("Linear", total_epochs=n, constant_epochs=None) for n in (200, 300))
    # Half is 150: 2e-4 (1 − (e + 1 − 150) / 151) in the epoch e from 0, so 2e-4 · 100/151 after 200 epochs.
    assert schedule_change(old, new, 200) == (
        "schedule  Linear(total_epochs=200) → Linear(total_epochs=300); learning rate in epoch 201: 1.32e-04"
    )
    step = scheduled("Step", lr=None, every=50, factor=0.1)
    assert schedule_change(new, step, 9) == "schedule  Linear(total_epochs=300) → Step(every=50, factor=0.1)"
    assert schedule_change({"model": {}}, scheduled("Constant"), 2) == (
        "schedule  none() → Constant(); learning rate in epoch 3: 2.00e-04"
    )


def test_an_unchanged_schedule_is_not_described() -> None:
    before = scheduled("Linear", total_epochs=200)
    assert schedule_change(before, scheduled("Linear", total_epochs=200, constant_epochs=None), 60) is None
    assert schedule_change({"model": {}}, {"model": {"schedule": None}}, 60) is None


def test_the_checkpoints_schedule_is_not_called(tmp_path: Path) -> None:
    hostile = {"model": {"schedule": {"_target_": "os.mkdir", "path": str(tmp_path / "made")}}}
    assert schedule_change(hostile, scheduled("Constant"), 1) is not None
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_are_named() -> None:
    model = small_cyclegan()
    weights = {name: value for name, value in model.state_dict().items() if name != "disc_a.model.0.bias"}
    content = {
        "config": plain(),
        "loops": {"fit_loop": {"epoch_progress": {"current": {"processed": 1}}}},
        "state_dict": weights,
    }
    with pytest.raises(RunError, match=r"a\.ckpt do not fit these networks \(1 missing \(disc_a\.model\.0\.bias\)\)"):
        require_same_run(StartingPoint(Path("a.ckpt"), content), plain(), model)


def test_a_class_that_was_renamed_is_the_same(tmp_path: Path) -> None:
    config = plain()
    old = config | {"data": config["data"] | {"_target_": "cyclegan.data.unpaired.UnpairedData"}}
    old["data"] |= {"source": config["data"]["source"] | {"_target_": "cyclegan.data.toy.draw"}}
    with pytest.raises(RunError, match=r"data\._target_: cyclegan\.data\.unpaired"):
        require_continuable(old, config)
    best = {"Checkpointing": {"best": {"figure": "kid", "value": 0.1}}, "Other": {}}
    torch.save({"config": old, "callbacks": best}, tmp_path / "old.ckpt")
    found = read(tmp_path / "old.ckpt")
    assert found["config"] == config
    assert found["callbacks"]["Checkpointing"]["best"] == {"metric": "kid", "value": 0.1}


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_renamed_classes_exist_and_their_old_names_are_refused_with_the_new_ones(old: str, new: str) -> None:
    assert resolve(new, [], "data").__module__ == new.rpartition(".")[0]
    with pytest.raises(UserError, match=rf"data\._target_ is {old}, which is called {new} now"):
        resolve(old, [], "data")
