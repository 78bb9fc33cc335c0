"""Exponential moving average of generator weights."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from cyclegan.callbacks.ema import Ema, HalfLife, translating
from cyclegan.checkpoint.reading import read
from cyclegan.errors import UserError
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.optim import Constant
from tests.small import fit, generator, random_batches, small_cyclegan
from tests.tiny_run import differences
from tests.toy_runs import fit_toy, toy_data

Weights = dict[str, Tensor]

DECAY = 0.7
# A learning rate whose steps are far larger than the tolerance of a comparison.
FAST = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.999))


def model() -> CycleGAN:
    return small_cyclegan(schedule=Constant(), optimizer=FAST)


def generator_weights(module: CycleGAN) -> Weights:
    return {
        f"{name}.{key}": value.clone()
        for name, network in module.generators().items()
        for key, value in network.state_dict().items()
    }


def average_of(ema: Ema) -> Weights:
    return {key: value.clone() for key, value in ema.average.state_dict().items()}


def difference(one: Weights, other: Weights) -> float:
    assert one.keys() == other.keys()
    return max(float((one[key] - other[key]).abs().max()) for key in one)


class Recorder(pl.Callback):
    """Store the weights and the average after every batch; place it after the Ema callback."""

    def __init__(self, ema: Ema) -> None:
        self.ema = ema
        self.weights: list[Weights] = []
        self.averages: list[Weights] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        self.weights.append(generator_weights(pl_module))
        self.averages.append(average_of(self.ema))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_follows_its_formula_once_per_optimiser_step(accumulate: int) -> None:
    ema = Ema(DECAY)
    record = Recorder(ema)
    fit(model(), random_batches(6), callbacks=[ema, record], accumulate_grad_batches=accumulate)

    first, *steps = range(accumulate - 1, 6, accumulate)  # the batches that end with an optimiser step
    expected = record.weights[first]
    for step in steps:
        expected = {key: DECAY * expected[key] + (1 - DECAY) * record.weights[step][key] for key in expected}
        assert difference(record.averages[step], expected) < 1e-6
    assert difference(record.averages[-1], record.weights[-1]) > 1e-3, "the average lags behind"
    assert ema.state_dict() == {"updates": 6 // accumulate}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_half_life_counts_images(tmp_path: Path, accumulate: int) -> None:
    """The formula of StyleGAN2-ADA, with a half-life of min(5, 0.5 · images seen before the step)."""
    ema = Ema(HalfLife(images=5, rampup=0.5))
    record = Recorder(ema)
    data = toy_data(tmp_path / "toy", train=12, batch_size=2)
    fit_toy(model(), data, ema, record, accumulate_grad_batches=accumulate)

    expected, seen = record.weights[accumulate - 1], 2 * accumulate
    for step in range(2 * accumulate - 1, 6, accumulate):
        decay = 0.5 ** (2 * accumulate / min(5, 0.5 * seen))
        expected = {key: decay * expected[key] + (1 - decay) * record.weights[step][key] for key in expected}
        assert difference(record.averages[step], expected) < 1e-6
        seen += 2 * accumulate
    assert difference(record.averages[-1], record.weights[-1]) > 1e-4, "the average lags behind"


def test_the_batch_size_does_not_change_a_decay_in_images() -> None:
    half_life = HalfLife(images=1000, rampup=None)
    assert half_life.decay(500, 1500) == 0.5
    assert half_life.decay(0, 8) == pytest.approx(half_life.decay(0, 4) * half_life.decay(4, 8))
    assert HalfLife(1000).decay(400, 440) == 0.25, "a half-life of 0.05 · 400 = 20 images"
    with pytest.raises(UserError, match="the half-life has images=0"):
        HalfLife(images=0)


def test_ema_does_not_change_training() -> None:
    one, other = model(), model()
    fit(one, random_batches(4))
    fit(other, random_batches(4), callbacks=[Ema(DECAY)])
    assert difference(generator_weights(one), generator_weights(other)) == 0


@pytest.mark.parametrize("decay", [DECAY, HalfLife(images=5)])
def test_a_resumed_run_has_the_same_average(tmp_path: Path, decay: float | HalfLife) -> None:
    def train(name: str, epochs: int, resume: Path | None = None) -> Path:
        data = toy_data(tmp_path / "toy", train=4, batch_size=1)
        trainer = fit_toy(model(), data, Ema(decay), max_epochs=epochs, resume=resume, accumulate_grad_batches=2)
        trainer.save_checkpoint(tmp_path / name)
        return tmp_path / name

    uninterrupted = read(train("full.ckpt", 2))
    resumed = read(train("resumed.ckpt", 2, resume=train("half.ckpt", 1)))
    assert sorted(resumed["ema"]) == ["gen_ab", "gen_ba"]
    for entry in ("state_dict", "ema", "callbacks"):
        assert differences(resumed[entry], uninterrupted[entry]) == []
    assert resumed["callbacks"]["Ema"] == {"updates": 4}


def test_resuming_a_checkpoint_without_average_starts_a_new_average(tmp_path: Path) -> None:
    data = toy_data(tmp_path / "toy", train=2, batch_size=1)
    fit_toy(model(), data).save_checkpoint(tmp_path / "plain.ckpt")
    ema = Ema(DECAY)
    record = Recorder(ema)
    fit_toy(model(), data, ema, record, max_epochs=2, resume=tmp_path / "plain.ckpt")
    assert difference(record.averages[0], record.weights[0]) == 0
    assert ema.state_dict() == {"updates": 2}


def test_translating_uses_the_average_and_restores_weights_and_modes() -> None:
    ema, module = Ema(DECAY), model()
    trainer = fit(module, random_batches(4), callbacks=[ema])
    module.disc_a.eval()  # kept in eval mode by the user
    own, average = generator_weights(module), average_of(ema)
    assert difference(own, average) > 1e-3
    with translating(trainer, module) as is_averaged:
        assert is_averaged
        assert difference(generator_weights(module), average) == 0
        assert not any(part.training for part in module.modules())
    assert difference(generator_weights(module), own) == 0
    assert difference(average_of(ema), average) == 0
    assert not any(part.training for part in module.disc_a.modules())
    assert all(part.training for part in module.gen_ab.modules())


def test_buffers_are_copied() -> None:
    ema, module = Ema(DECAY), small_cyclegan(generator=lambda **k: generator(**k, norm="batch"))
    fit(module, random_batches(3), callbacks=[ema])
    averages = average_of(ema)
    buffers = {name: value for name, value in generator_weights(module).items() if "running" in name}
    assert buffers
    assert difference(buffers, {name: averages[name] for name in buffers}) == 0


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_refuses_a_decay_outside_0_to_1(decay: float) -> None:
    with pytest.raises(ValueError, match=f"decay is {decay}"):
        Ema(decay)
