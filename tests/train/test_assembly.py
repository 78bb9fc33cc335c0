"""Lightning's trainer: arguments without effect are refused, and cuDNN's benchmark follows `deterministic`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cyclegan.errors import RunError
from cyclegan.train.assembly import assemble_trainer
from cyclegan.train.command import train
from tests.tiny_run import UNMEASURED, composed

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("check_val_every_n_epoch", "5", "callbacks.validation.every_n_epochs"),
        ("val_check_interval", "100", "callbacks.validation.every_n_epochs"),
        ("val_check_interval", "1", "callbacks.validation.every_n_epochs"),  # every batch; 1.0 is every epoch
        ("limit_val_batches", "0", "callbacks.validation.max_images"),
        ("overfit_batches", "2", "data.max_images"),
    ],
)
def test_an_argument_that_is_not_used_is_refused(
    root: Path, tmp_path: Path, name: str, value: str, instead: str
) -> None:
    with pytest.raises(RunError, match=rf"^trainer\.{name} is {value}, .*{instead}"):
        train(composed(tmp_path / "run", root, f"+trainer.{name}={value}"))
    assert not list((tmp_path / "run").glob("[!.]*")), "before anything is written"


def test_the_defaults_of_unused_arguments_are_accepted(root: Path, tmp_path: Path) -> None:
    words = ("num_sanity_val_steps=0", "limit_val_batches=1.0", "check_val_every_n_epoch=1", "overfit_batches=0.0")
    trainer = train(
        composed(tmp_path / "run", root, *UNMEASURED, "trainer.max_epochs=1", *(f"+trainer.{word}" for word in words))
    )
    assert trainer.global_step == 3, "an epoch of five images in batches of two"


@pytest.fixture(autouse=True)
def flags() -> Iterator[None]:
    """Restore the flags of torch, which a trainer sets for the process."""
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
def test_cudnn_benchmark_is_on_unless_the_run_is_deterministic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], benchmark: bool
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assemble_trainer(composed(tmp_path, tmp_path / "toy", *words), {"trainer": {}})
    assert torch.backends.cudnn.benchmark == benchmark
    assert torch.are_deterministic_algorithms_enabled() == ("deterministic" in str(words))
