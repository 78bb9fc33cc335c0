"""Profiled runs: the parts of a batch, the trace, the advice, and what such a run leaves out."""

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy

from cyclegan.callbacks import batch_profiler
from cyclegan.callbacks.batch_profiler import BatchProfiler, advice
from cyclegan.data.loader import PositionSampler
from cyclegan.errors import UserError
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.train.command import train
from cyclegan.train.run_folder import claim
from tests.tiny_run import composed
from tests.toy_runs import fit_small, logged


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of torch's profiler, whose first start takes two seconds."""
    calls: list[str] = []

    class Trace:
        def __init__(self, activities: list[Any]) -> None:
            self.start: Callable[[], None] = lambda: calls.append("start")
            self.stop: Callable[[], None] = lambda: calls.append("stop")

        def export_chrome_trace(self, path: str) -> None:
            calls.append(Path(path).name)

    monkeypatch.setattr(batch_profiler, "profile", Trace)
    return calls


class Machine:
    """A clock that stands still but for the methods that take time, and a GPU that works through what they launch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.gpu_ends = 0.0
        self._patch = monkeypatch
        monkeypatch.setattr(batch_profiler, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def let(self, owner: type, name: str, host: float, gpu: float = 0.0) -> None:
        """Let a method take so many milliseconds of the host, and launch so many for the GPU."""
        original = getattr(owner, name)

        def slow(*args: Any, **named: Any) -> Any:
            self.gpu_ends = max(self.gpu_ends, self.now) + gpu / 1000
            self.now += host / 1000
            return original(*args, **named)

        self._patch.setattr(owner, name, slow)

    def add_cuda(self) -> None:
        machine = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                self.time = 0.0

            def record(self) -> None:
                self.time = max(machine.gpu_ends, machine.now)

            def elapsed_time(self, later: "Event") -> float:
                return 1000 * (later.time - self.time)

        def synchronise() -> None:
            self.now = max(self.now, self.gpu_ends)

        self._patch.setattr(BatchProfiler, "_is_cuda", True)
        self._patch.setattr(torch.cuda, "Event", Event)
        self._patch.setattr(torch.cuda, "synchronize", synchronise)


def test_the_time_of_an_action_belongs_to_the_innermost_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traces: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Watch(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None: ...
        def on_before_backward(self, *_: Any) -> None: ...

    machine = Machine(monkeypatch)
    machine.let(PositionSampler, "advance", 1)
    machine.let(SingleDeviceStrategy, "batch_to_device", 2)
    machine.let(CycleGAN, "training_step", 40)
    machine.let(CycleGAN, "backward", 80)
    machine.let(torch.optim.Adam, "step", 5)
    machine.let(CycleGAN, "configure_gradient_clipping", 3)
    machine.let(Watch, "on_before_backward", 4)
    machine.let(Watch, "on_train_batch_end", 10)
    machine.let(CycleGAN, "on_train_batch_start", 6)

    profiler = BatchProfiler(str(tmp_path), warmup=1, batches=4, traced=2)
    with caplog.at_level(logging.INFO, "cyclegan"):
        trainer = fit_small(tmp_path, Watch(), profiler=profiler, max_epochs=9)  # epochs of three batches
    assert trainer.global_step == 1 + 4 + 2
    assert traces == ["start", "stop", "trace.json.gz"]
    assert [line.removeprefix("profile   ") for line in logged(caplog, batch_profiler.__name__)] == [
        "1 batches to warm up, 4 that are measured, 2 into a trace",
        "4 batches on cpu (1 threads) in 32-true: 151.0 ms each, 13.25 images/s of each domain",
        "                 ms  share",
        "data            1.0     1%  waiting for the next batch of the loader",
        "transfer        2.0     1%  to the device",
        "forward        40.0    26%  networks and losses",
        "backward       80.0    53%",
        "optimiser       8.0     5%  step, clipping, schedule",
        "logging        14.0     9%  and all callbacks",
        "waiting         0.0     0%  for the GPU at the end of the batch",
        "other           6.0     4%  Lightning's loop",
        "the networks take 79%: trainer.precision, data.crop_size and model.generator change it",
        f"trace of 2 batches: {profiler.file}, for https://ui.perfetto.dev",
    ]


def test_a_gpu_is_waited_for_and_has_a_column_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traces: list[str]
) -> None:
    machine = Machine(monkeypatch)
    machine.let(PositionSampler, "advance", 2)
    machine.let(CycleGAN, "training_step", 10, gpu=40)
    machine.let(CycleGAN, "backward", 20, gpu=80)
    machine.let(torch.optim.Adam, "step", 5, gpu=5)
    machine.add_cuda()
    profiler = BatchProfiler(str(tmp_path), warmup=1, batches=4)
    fit_small(tmp_path, profiler=profiler, max_epochs=9)

    host = {"data": 2, "forward": 10, "backward": 20, "optimiser": 5, "waiting": 40 + 80 + 5 - (10 + 20 + 5)}
    gpu = {"data": 2, "forward": 40, "backward": 80, "optimiser": 5}
    for seconds, expected in ((profiler.host, host), (profiler.gpu, gpu)):
        found = {part: 1000 * value / 4 for part, value in seconds.items() if value}
        assert found == pytest.approx(expected)
        assert sum(found.values()) == pytest.approx(127), "both add up to the batch"
    lines = profiler.summary().splitlines()
    assert lines[1].split() == ["host", "ms", "GPU", "ms", "share"]
    assert lines[4].split()[:4] == ["forward", "10.0", "40.0", "31%"]


def test_a_run_that_is_too_short_is_warned_of(
    tmp_path: Path, traces: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    fit_small(tmp_path, profiler=BatchProfiler(str(tmp_path), warmup=2, batches=4))
    assert logged(caplog, batch_profiler.__name__)[-1:] == [
        "profile   the run has 3 batches, and 8 are needed: a higher trainer.max_epochs, or lower "
        "trainer.profiler.batches=4 and warmup=2"
    ]
    assert traces == []


@pytest.mark.parametrize(
    ("seconds", "waiting", "found"),
    [
        ({"data": 3, "backward": 17}, None, "the loader holds up 15%: a higher data.num_workers"),
        ({"logging": 3, "backward": 17}, 0.5, "callbacks take 15%"),
        ({"forward": 1, "backward": 17}, 0.05, "the GPU waits for Python"),
        ({"forward": 1, "backward": 17, "other": 2}, 0.5, "the networks take 90%: trainer.precision, data.crop_size"),
        ({"forward": 1, "backward": 17, "other": 2}, None, "the networks take 90%: trainer.precision, data.crop_size"),
    ],
)
def test_the_advice_names_what_dominates(seconds: dict[str, float], waiting: float | None, found: str) -> None:
    total = sum(seconds.values())
    shares = {part: seconds.get(part, 0) / total for part in batch_profiler.PARTS}
    assert advice(shares, waiting).startswith(found)


def test_refuses_arguments_out_of_range() -> None:
    with pytest.raises(UserError, match=r"profiler\.traced is 0; it is 1 or more"):
        BatchProfiler("run", traced=0)


PROFILE = ("trainer=profile", "trainer.profiler.warmup=1", "trainer.profiler.batches=1", "trainer.profiler.traced=1")


@pytest.mark.filterwarnings("ignore:.*Profiler clears events:UserWarning")  # torch 2.11, of several cycles
def test_a_profiled_run_writes_a_trace_and_is_no_run(tmp_path: Path, quiet: None) -> None:
    run = tmp_path / "run"
    trainer = train(composed(run, tmp_path / "toy", "logger=default", *PROFILE))
    assert trainer.global_step == 3
    written = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    without = "no checkpoint, sample, validation, report or wandb"
    assert written == {".lock", "config.yaml", "profile/metrics.csv", "profile/trace.json.gz"}, without
    claim(run, resume=None, overwrite=False)  # a training may follow in this folder

    with gzip.open(run / "profile" / "trace.json.gz") as file:
        names = [event.get("name") for event in json.load(file)["traceEvents"]]
    assert names.count("[Strategy]SingleDeviceStrategy.backward") == 1
    assert names.count("[Callback]NonFiniteGuard.on_train_batch_end") == 1
    assert "aten::convolution" in names
