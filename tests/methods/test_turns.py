"""Turns: what changes for the trainer when a method updates its players one after the other."""

from pathlib import Path

import pytest

from cyclegan.callbacks.nonfinite import NonFiniteError
from cyclegan.errors import RunError, UserError
from cyclegan.train.command import train
from tests.tiny_run import METHODS, UNMEASURED, composed, read_checkpoint

pytestmark = pytest.mark.usefixtures("quiet")
WORDS = (*METHODS["pix2pix"], *UNMEASURED)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_batch_is_one_step_whose_gradients_are_clipped_for_each_player(tmp_path: Path, precision: str) -> None:
    """With a tiny bound, Adam's first moments are tiny too: 1 − 0.5 of a gradient of norm 1e-6."""
    words = (*WORDS, f"trainer.precision={precision}", "trainer.gradient_clip_val=1e-6", "trainer.max_epochs=1")
    trainer = train(composed(tmp_path / "run", tmp_path / "toy", *words))
    assert trainer.global_step == 3
    state = read_checkpoint(tmp_path / "run")["optimizer_states"][0]
    moments = [entry["exp_avg"].norm() for entry in state["state"].values()]
    assert 0 < max(moments) < 1e-6


def test_what_turns_cannot_do_is_refused_with_the_reason(tmp_path: Path) -> None:
    for words, error, reason in (
        ("trainer.accumulate_grad_batches=2", RunError, "in turns, each on the whole batch: raise data.batch_size"),
        ("callbacks.nonfinite.on_nonfinite=skip", UserError, "updates its players in turns: .* on_nonfinite=stop"),
    ):
        with pytest.raises(error, match=reason):
            train(composed(tmp_path / "run", tmp_path / "toy", *WORDS, words))


def test_a_turn_that_is_not_finite_ends_the_run_with_its_term_and_files(tmp_path: Path) -> None:
    words = (*WORDS, "model.optimizer.lr=1e30", "trainer.log_every_n_steps=1")
    with pytest.raises(NonFiniteError, match=r"train/\w+ is (nan|inf).* in a batch of A: .*trainA"):
        train(composed(tmp_path / "run", tmp_path / "toy", *words))
