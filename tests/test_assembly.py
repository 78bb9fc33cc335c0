"""What Lightning's trainer is told beyond the configuration."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cyclegan.assembly import assemble_trainer
from tests.tiny_run import composed


@pytest.fixture(autouse=True)
def flags() -> Iterator[None]:
    """Puts back torch's flags, which a trainer sets for the whole process."""
    before = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    yield
    torch.backends.cudnn.benchmark = before[0]
    torch.use_deterministic_algorithms(before[1])


@pytest.mark.parametrize(
    ("words", "benchmark"),
    [
        ((), True),
        (("trainer.deterministic=true",), False),
        (("trainer.deterministic=warn",), False),
        (("trainer.benchmark=false",), False),
    ],
    ids=str,
)
def test_cudnn_looks_for_the_fastest_kernel_unless_the_run_is_to_be_deterministic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], benchmark: bool
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assemble_trainer(composed(tmp_path, tmp_path / "toy", *words), {})
    assert torch.backends.cudnn.benchmark == benchmark
    assert torch.are_deterministic_algorithms_enabled() == ("deterministic" in str(words))
