"""Training with torch.compile: the compiler takes a minute even for tiny networks."""

from pathlib import Path

import pytest

from cyclegan.train.command import train
from tests.tiny_run import (
    SMALL_NETWORKS,
    UNMEASURED,
    StoppedError,
    composed,
    differences,
    metrics,
    read_checkpoint,
    stop_at,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quiet"),
    pytest.mark.filterwarnings("default"),  # the compiler's own
]


def test_a_compiled_run_resumes_bit_for_bit_and_equals_an_uncompiled_one(root: Path, tmp_path: Path) -> None:
    words = [*UNMEASURED, *SMALL_NETWORKS, "model.compile=true"]
    train(composed(tmp_path / "whole", root, *words))
    with pytest.raises(StoppedError):
        train(composed(tmp_path / "cut", root, *words, *stop_at("on_train_batch_start", 4)))
    train(composed(tmp_path / "cut", root, *words, "resume=auto"))
    one, other = (read_checkpoint(tmp_path / name) for name in ("whole", "cut"))
    assert [
        d for entry in ("state_dict", "optimizer_states") for d in differences(one[entry], other[entry], entry)
    ] == []

    train(composed(tmp_path / "eager", root, *words, "model.compile=false"))
    for fast, eager in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "eager"), strict=True):
        assert fast == pytest.approx(eager, rel=1e-3)
