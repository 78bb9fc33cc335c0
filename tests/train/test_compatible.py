"""What may change when a run goes on, and the learning rate's plan before and after."""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from omegaconf import OmegaConf

from cyclegan.errors import CheckpointError, RunError
from cyclegan.train.compatible import FREE, INEXACT, SHARE_OR_COUNT, rate_plan, require_continuable
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
        ("data.root=elsewhere", "data.num_workers=7"),
        ("data.cache=disk", "data.cache_dir=kept", "data.header_checks=5", "data.on_error=skip"),
        ("data.domains.A.train=elsewhere/trainA", "data.domains.B.test=b.txt", "data.domains.A.dtype=uint16"),
        ("trainer.max_epochs=50", "trainer.max_time='00:01:00:00'", "trainer.log_every_n_steps=7"),
        ("trainer.benchmark=false", "trainer.deterministic=true", "trainer.enable_model_summary=true"),
        ("+trainer.profiler=simple",),
        ("callbacks.image_grid.count=2", "~callbacks.meter", "+callbacks.more={_target_: tests.tiny_run.Rates}"),
        ("logger=tensorboard",),
        ("schedule=cosine",),
        ("schedule=step", "model.schedule.every=7"),
        ("data.source=null",),
    ],
)
def test_what_the_weights_do_not_depend_on_changes_silently_in_both_directions(overrides: tuple[str, ...]) -> None:
    assert require_continuable(plain(), plain(*overrides)) == []
    assert require_continuable(plain(*overrides), plain()) == []


def test_what_training_refused_so_far_may_be_allowed_from_now_on() -> None:
    """The remedies of errors that come in the middle of a run; a run that skipped has seen other images."""
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
        ("model.pool_size=3", "model.pool_size: 50 → 3"),
        ("model.optimizer.lr=1e-3", "model.optimizer.lr: 0.0005 → 0.001"),
        ("model.optimizer.betas=[0.9,0.999]", "model.optimizer.betas: [0.5, 0.999] → [0.9, 0.999]"),
        ("model.discriminator_lr=1e-3", "model.discriminator_lr: null → 0.001"),
        ("model.generator.dropout=0.5", "model.generator.dropout: 0.0 → 0.5"),
        ("model.loss_weights.identity=0", "model.loss_weights.identity: 0.5 → 0"),
        (
            "adversarial=vanilla",
            "model.adversarial._target_: cyclegan.losses.adversarial.LeastSquares → "
            "cyclegan.losses.adversarial.Vanilla",
        ),
        ("data.batch_size=4", "data.batch_size: 2 → 4"),
        ("data.flip=false", "data.flip: true → false"),
        ("data.resize=width", "data.resize: stretch → width"),
        ("data.domains.A.range=[0,99]", "data.domains.A.range: null → [0, 99]"),
        ("data.source.train=6", "data.source.train: 5 → 6"),
        ("trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches: 1 → 2"),
        ("trainer.gradient_clip_val=0.5", "trainer.gradient_clip_val: null → 0.5"),
        ("trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_algorithm: norm → value"),
        ("trainer.limit_train_batches=0.5", "trainer.limit_train_batches: 1.0 → 0.5"),
        ("trainer.use_distributed_sampler=true", "trainer.use_distributed_sampler: false → true"),
    ],
)
def test_what_makes_another_run_is_refused(override: str, line: str) -> None:
    with pytest.raises(RunError) as error:
        require_continuable(plain(), plain(override))
    assert line in [text.strip() for text in str(error.value).splitlines()]


def test_every_refusal_is_listed_and_the_remedy_given() -> None:
    with pytest.raises(RunError) as error:
        require_continuable(plain(), plain("seed=5", "model.pool_size=3", "trainer.precision=bf16-mixed", "name=b"))
    assert str(error.value).splitlines() == [
        "a run goes on as it began, but these values are not the checkpoint's:",
        "  seed: 0 → 5",
        "  model.pool_size: 50 → 3",
        "  model.seed: 0 → 5",
        "  data.seed: 0 → 5",
        "Give the old values, or begin a new run with these weights: name=... init_from=CHECKPOINT",
    ]


def test_what_only_rounds_and_sums_otherwise_passes_with_a_line_each() -> None:
    changed = plain("trainer.devices=2", "trainer.precision=bf16-mixed", "trainer.accelerator=auto", "schedule=cosine")
    assert require_continuable(plain(), changed) == [
        "trainer.accelerator: cpu → auto (no longer bit for bit the same run)",
        "trainer.devices: 1 → 2 (no longer bit for bit the same run)",
        "trainer.precision: 32-true → bf16-mixed (no longer bit for bit the same run)",
    ]
    ddp = {**plain(), "trainer": {**plain()["trainer"], "strategy": {"_target_": "a.Strategy", "find": True}}}
    assert require_continuable(plain(), ddp) == [
        "trainer.strategy: auto → {_target_: a.Strategy, find: true} (no longer bit for bit the same run)"
    ]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ((), ("callbacks=ema",), "callbacks.ema: null → {_target_: cyclegan.callbacks.ema.Ema, decay: 0.999}"),
        (("callbacks=ema",), (), "callbacks.ema: {_target_: cyclegan.callbacks.ema.Ema, decay: 0.999} → null"),
        (("callbacks=ema",), ("callbacks=ema_short",), "callbacks.ema.decay: 0.999 → 0.995"),
    ],
)
def test_an_average_of_weights_neither_comes_goes_nor_changes(before: Any, after: Any, line: str) -> None:
    with pytest.raises(RunError) as error:
        require_continuable(plain(*before), plain(*after))
    assert str(error.value).splitlines()[1:-1] == [f"  {line}"]


def test_no_callbacks_at_all_are_no_average() -> None:
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


def test_whole_numbers_equal_their_decimals_except_where_one_is_a_count_and_the_other_a_share() -> None:
    assert require_continuable({"model": {"rate": 1}}, {"model": {"rate": 1.0}}) == []
    with pytest.raises(RunError, match=r"trainer\.limit_train_batches: 1\.0 → 1\n"):
        require_continuable(plain(), plain("trainer.limit_train_batches=1"))  # one batch, no longer all of them


def test_the_trainers_keys_are_arguments_of_lightnings_trainer() -> None:
    named = [key for key in (*FREE, *INEXACT, *SHARE_OR_COUNT) if key.startswith("trainer.")]
    assert {key.partition(".")[2] for key in named} <= inspect.signature(pl.Trainer).parameters.keys()


# ---------------------------------------------------------------------------------------------- the learning rate


def model(schedule: str, discriminator_lr: float | None = None, **arguments: Any) -> dict[str, Any]:
    return {
        "optimizer": {"lr": 2e-4},
        "discriminator_lr": discriminator_lr,
        "schedule": {"_target_": f"cyclegan.optim.{schedule}", **arguments},
    }


def linear(epochs: int, discriminator_lr: float | None = None) -> dict[str, Any]:
    return model("Linear", discriminator_lr, total_epochs=epochs, constant_epochs=None)


def table(text: str | None) -> dict[str, list[str]]:
    """The rows of the plan, by their labels."""
    assert text is not None
    rows = [line.split("  ") for line in text.splitlines()[1:]]
    return {cells[0]: cells[1:] for cells in ([cell.strip() for cell in row if cell.strip()] for row in rows)}


def test_a_longer_run_shows_its_old_and_its_new_plan() -> None:
    # Linear: 2e-4 (1 − max(0, e + 1 − half) / (half + 1)) in the e-th epoch from 0, which is the table's e + 1.
    # Old, half = 100: falls in 101 (e = 100): 2e-4 · 100/101; 151: 2e-4 · 50/101; 200: 2e-4 · 1/101.
    # New, half = 150: falls in 151 (e = 150): 2e-4 · 150/151; 200: 2e-4 · 101/151; 300: 2e-4 · 1/151.
    assert (rate_plan(linear(200), linear(300), 60, 200, 300) or "").splitlines() == [
        "schedule  learning rate as planned (200 epochs) and from here on (300 epochs), 60 done",
        "          epoch                1        61       101       151       200       300",
        "          as planned     2.00e-4   2.00e-4   1.98e-4   9.90e-5   1.98e-6         –",
        "          from here on      done   2.00e-4   2.00e-4   1.99e-4   1.34e-4   1.32e-6",
    ]


def test_a_finished_run_has_no_old_plan_for_what_is_to_come() -> None:
    rows = table(rate_plan(linear(8), linear(20), 8, 8, 20))
    # Old: 1 − (e − 3)/5 from e = 4 on; new: 1 − (e − 9)/11 from e = 10 on.
    assert rows == {
        "epoch": ["1", "5", "8", "9", "11", "20"],
        "as planned": ["2.00e-4", "1.60e-4", "4.00e-5", "–", "–", "–"],
        "from here on": ["done", "done", "done", "2.00e-4", "1.82e-4", "1.82e-5"],
    }


def test_a_shorter_run_ends_before_its_old_plan() -> None:
    rows = table(rate_plan(linear(200), linear(100), 60, 200, 100))
    assert rows["epoch"] == ["1", "61", "100", "101", "150", "200"]
    # Half is 50: in the 61st epoch 1 − 11/51, in the 100th 1/51.
    assert rows["from here on"] == ["done", "1.57e-4", "3.92e-6", "–", "–", "–"]


def test_discriminators_with_a_rate_of_their_own_have_rows_of_their_own() -> None:
    text = rate_plan(linear(200, 4e-4), linear(300, 4e-4), 150, 200, 300)
    rows = table(text)
    assert list(rows)[1:] == [
        "generators, as planned",
        "generators, from here on",
        "discriminators, as planned",
        "discriminators, from here on",
    ]
    assert rows["epoch"] == ["1", "101", "151", "200", "250", "300"]
    assert rows["generators, as planned"][1] == "1.98e-4"
    assert rows["discriminators, as planned"][1] == "3.96e-4"
    assert max(map(len, (text or "").splitlines())) <= 100
    same = table(rate_plan(linear(200, 2e-4), linear(300, 2e-4), 150, 200, 300))
    assert list(same) == ["epoch", "as planned", "from here on"]


def test_another_schedule_of_the_same_length() -> None:
    rows = table(rate_plan(linear(200), model("Cosine", total_epochs=200, final=0.0), 20, 200, 200))
    assert rows["epoch"] == ["1", "21", "61", "101", "150", "200"]
    # In the 101st epoch the cosine stands at its middle: cos(π/2) = 0, half of 2e-4.
    assert rows["from here on"][3] == "1.00e-4"


@pytest.mark.parametrize("no_end", [-1, None])
def test_plans_without_an_end(no_end: int | None) -> None:
    rows = table(rate_plan(model("Constant"), model("Step", every=50, factor=0.1), 160, no_end, no_end))
    # Step: 160 // 50 = 3 factors of 0.1, the fourth comes with e = 200, the table's 201.
    assert dict(zip(rows["epoch"], rows["from here on"], strict=True)) == {
        "1": "done",
        "161": "2.00e-7",
        "201": "2.00e-8",
        "226": "2.00e-8",
        "251": "2.00e-9",
        "301": "2.00e-10",
    }
    assert rows["as planned"] == ["2.00e-4"] * 6
    ended = rate_plan(linear(200), model("Constant"), 160, 200, no_end)
    assert "as planned (200 epochs) and from here on (no end), 160 done" in (ended or "")
    assert table(ended)["from here on"][-1] == "2.00e-4"


@pytest.mark.parametrize(("old", "new"), [(2, 3), (1, 2), (3, 1), (200, 201)])
def test_short_plans_have_each_epoch_once(old: int, new: int) -> None:
    epochs = [int(epoch) for epoch in table(rate_plan(linear(old), linear(new), 1, old, new))["epoch"]]
    assert epochs == sorted(set(epochs))
    assert {1, 2, old, new} <= set(epochs)


def test_no_table_where_nothing_has_changed() -> None:
    assert rate_plan(linear(200), linear(200), 60, 200, 200) is None
    assert rate_plan(linear(200), model("Linear", total_epochs=200), 60, 200, 200) is None, "a default, written out"
    assert rate_plan(model("Constant"), model("Constant"), 60, 200, 300) is not None, "a longer run is a change"
    assert rate_plan({"schedule": None}, linear(200), 60, 200, 200) is None


def test_a_checkpoints_schedule_runs_no_foreign_code_but_the_users_own(tmp_path: Path) -> None:
    hostile = {**linear(200), "schedule": {"_target_": "os.mkdir", "path": str(tmp_path / "made")}}
    with pytest.raises(CheckpointError, match=r"calls 'os\.mkdir' \(model\.schedule\._target_\)"):
        rate_plan(hostile, linear(300), 60, 200, 300)
    assert list(tmp_path.iterdir()) == []

    own = f"{Halved.__module__}.Halved"
    rows = table(rate_plan({**linear(2), "schedule": {"_target_": own}},
                           {**linear(2), "schedule": {"_target_": own}}, 1, 2, 3))  # fmt: skip
    assert rows["from here on"] == ["done", "1.00e-4", "5.00e-5"]


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


def test_a_schedule_of_another_version_is_named() -> None:
    old = {**linear(200), "schedule": {"_target_": "cyclegan.optim.Linear", "total_epochs": 200, "warm_up": 5}}
    with pytest.raises(CheckpointError, match=r"cyclegan\.optim\.Linear \(model\.schedule\).*'warm_up'"):
        rate_plan(old, linear(300), 60, 200, 300)


class Halved:
    """A schedule of the user's own."""

    def __call__(self, epoch: int) -> float:
        return 0.5**epoch
