"""Compilation: of the networks in training only, with a fallback in one line. The compiler itself is torch's."""

import logging
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from cyclegan.callbacks.compilation import Compilation, compile_for_training
from cyclegan.errors import UserError
from cyclegan.methods.translator import Compile
from tests.small import small_cyclegan

IMAGES = torch.zeros(1, 3, 16, 16)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Callable[..., Any]]:
    """Replace torch.compile; return the functions that it was called with, whose results it doubles."""
    functions: list[Callable[..., Any]] = []

    def double(function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        functions.append(function)
        return lambda images: 2 * function(images)

    monkeypatch.setattr(torch, "compile", double)
    return functions


def test_only_training_runs_the_compiled_network(compiled: list[Callable[..., Any]]) -> None:
    network = nn.Conv2d(3, 1, 3)
    names, plain = list(network.state_dict()), network(IMAGES)
    compile_for_training(network)
    assert torch.equal(network(IMAGES), 2 * plain)
    assert torch.equal(network.eval()(IMAGES), plain)
    assert list(network.state_dict()) == names


@pytest.mark.parametrize(
    ("wanted", "device", "crop_size", "count"),
    [
        ("auto", "cpu", 256, 0),
        ("auto", "cuda", 256, 4),
        ("auto", "cuda", None, 0),  # every size of images would be compiled
        (True, "cpu", None, 4),
        (False, "cuda", 256, 0),
        ("reduce-overhead", "cuda", 256, 4),
    ],
)
def test_what_is_compiled(
    compiled: list[Callable[..., Any]],
    monkeypatch: pytest.MonkeyPatch,
    wanted: Compile,
    device: str,
    crop_size: int | None,
    count: int,
) -> None:
    model = small_cyclegan(compile=wanted)
    monkeypatch.setattr(model, "_device", torch.device(device, 0))
    trainer: Any = SimpleNamespace(datamodule=SimpleNamespace(crop_size=crop_size))
    Compilation().on_train_start(trainer, model)
    assert len(compiled) == count


@pytest.mark.parametrize(("wanted", "starts"), [("reduce-overhead", [0, 3]), (True, [])])
def test_the_batches_of_a_step_share_the_memory_of_cuda_graphs(
    monkeypatch: pytest.MonkeyPatch, wanted: Compile, starts: list[int]
) -> None:
    started: list[int] = []
    trainer: Any = SimpleNamespace(accumulate_grad_batches=3)
    for batch in range(6):
        monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", partial(started.append, batch))
        Compilation().on_train_batch_start(trainer, small_cyclegan(compile=wanted), None, batch)
    assert started == starts


def test_a_network_that_cannot_be_compiled_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no C++ compiler\nwas found")

    monkeypatch.setattr(torch, "compile", lambda function, **_: fail)
    network = nn.Conv2d(3, 1, 3)
    plain = network(IMAGES)
    compile_for_training(network)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(network(IMAGES), plain)
        assert torch.equal(network(IMAGES), plain)
    assert caplog.messages == ["compile   Conv2d runs without: no C++ compiler"]


def test_a_wrong_image_is_no_failure_of_the_compiler(compiled: list[Callable[..., Any]]) -> None:
    network = small_cyclegan().gen_ab
    compile_for_training(network)
    with pytest.raises(UserError, match="multiples of 4"):
        network(torch.zeros(1, 3, 17, 17))
