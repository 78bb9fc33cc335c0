"""Every optimiser that a checkpoint may name: a run with it can be saved, read, resumed and used."""

from pathlib import Path

import pytest
import torch

import cyclegan
from cyclegan.checkpoint.reading import read
from cyclegan.checkpoint.targets import TRUSTED_NAMES
from cyclegan.train.command import train
from tests.tiny_run import STEPS_PER_EPOCH, UNMEASURED, composed, differences


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("target", TRUSTED_NAMES)
def test_a_run_resumes_from_its_checkpoint_and_translates(tmp_path: Path, root: Path, target: str) -> None:
    without_betas = ["~model.optimizer.betas"] if target.endswith(("SGD", "RMSprop")) else []
    without_fused = ["~model.optimizer.fused"] if target.endswith(("NAdam", "RAdam", "RMSprop")) else []
    words = (
        *UNMEASURED,
        "~callbacks.image_grid",
        "callbacks.checkpointing.keep_every_n_epochs=1",
        "schedule=constant",
        f"model.optimizer._target_={target}",
        "model.optimizer.lr=1e-3",
        *without_betas,
        *without_fused,
    )
    train(composed(tmp_path / "whole", root, *words))
    half = tmp_path / "whole" / "checkpoints" / "epoch0001.ckpt"
    train(composed(tmp_path / "cut", root, *words, f"resume={half}"))

    whole, resumed = (read(tmp_path / run / "checkpoints" / "last.ckpt") for run in ("whole", "cut"))
    assert whole["global_step"] == resumed["global_step"] == 2 * STEPS_PER_EPOCH
    assert differences(resumed["state_dict"], whole["state_dict"]) == []
    assert differences(resumed["optimizer_states"], whole["optimizer_states"]) == []
    if not without_betas:
        assert [tuple(group["betas"]) for group in whole["optimizer_states"][0]["param_groups"]] == [(0.5, 0.999)] * 2
    translator = cyclegan.load(tmp_path / "cut")
    assert translator.translate(torch.zeros(1, 3, 16, 16), "A", "B").shape == (1, 3, 16, 16)
