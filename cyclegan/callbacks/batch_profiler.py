"""Where the time of a batch goes: the summary and the trace of `cyclegan-train trainer=profile`."""

import logging
import os
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.profilers import Profiler
from torch.profiler import ProfilerActivity, profile, record_function

from cyclegan.callbacks._position import data_of
from cyclegan.callbacks.run_summary import device_name
from cyclegan.errors import UserError

log = logging.getLogger(__name__)

FETCH = "[_TrainingEpochLoop].train_dataloader_next"
EPOCH = "run_training_epoch"
PARTS = {
    "data": "waiting for the next batch of the loader",
    "transfer": "to the device",
    "forward": "networks and losses",
    "backward": "",
    "optimiser": "step, clipping, schedule",
    "logging": "and all callbacks",
    "waiting": "for the GPU at the end of the batch",
    "other": "Lightning's loop",
}
HOOKS = {
    "train_dataloader_next": "data",
    "batch_to_device": "transfer",
    "training_step": "forward",
    "backward": "backward",
    "optimizer_step": "optimiser",
    "lr_scheduler_step": "optimiser",
}
"""Parts by Lightning's names of actions. Others within one of these, such as the clipping, count with it."""

MUCH = 0.1
"""Share of the time above which a part other than the networks is worth a change."""


class BatchProfiler(Profiler):
    """Measures the parts of a batch, records a trace of a few batches, and ends the run.

    Give it to Lightning's trainer as `profiler`. The batches of the trace are not measured, as recording slows them.

    A GPU works behind the host, so each measured batch waits for it at its end. Its time is divided in two ways: by
    what the host does, where `waiting` is what the GPU still has to do when all is launched; and by what the GPU does
    (CUDA events), where a part includes the GPU's own waiting for the host. Training does not wait and is slightly
    faster.

    Args:
        run_dir: the trace is `run_dir/profile/trace.json.gz`, for https://ui.perfetto.dev or chrome://tracing.
        warmup: batches before the measured ones, 1 or more.
        batches: measured batches, 1 or more; a multiple of `trainer.log_every_n_steps` contains logging as often
            as training does.
        traced: batches of the trace, 1 or more.
    """

    def __init__(self, run_dir: str, warmup: int = 5, batches: int = 50, traced: int = 2) -> None:
        super().__init__()
        for name, value in {"warmup": warmup, "batches": batches, "traced": traced}.items():
            if value < 1:
                raise UserError(f"profiler.{name} is {value}; it is 1 or more")
        self.file = Path(run_dir) / "profile" / "trace.json.gz"
        self.warmup = warmup
        self.batches = batches
        self.traced = traced
        self.host = dict.fromkeys(PARTS, 0.0)
        """Seconds of each part in all measured batches, by what the host does."""
        self.gpu = dict.fromkeys(PARTS, 0.0)
        """Seconds of each part by what the GPU does; 0 without one."""
        self._begun = 0
        self._open: list[tuple[str, ExitStack]] = []
        self._last = 0.0
        self._events: list[tuple[str, torch.cuda.Event]] = []
        self._trace: profile | None = None

    def start(self, action_name: str) -> None:
        if action_name == FETCH:
            self._begin_batch()
        self._mark()
        span = ExitStack()
        if self._trace:
            span.enter_context(record_function(action_name))
        self._open.append((part_of(action_name, self._part()), span))

    def stop(self, action_name: str) -> None:
        self._mark()
        self._open.pop()[1].close()
        if self._trace and action_name == EPOCH:
            self._end_trace()

    def describe(self) -> None:
        """Log the summary."""
        if self._begun <= self.warmup + self.batches:
            log.warning(
                "profile   the run has %d batches, and %d are needed: a higher trainer.max_epochs, or lower "
                "trainer.profiler.batches=%d and warmup=%d",
                *(self._begun, self.warmup + self.batches + self.traced, self.batches, self.warmup),
            )
            return
        for line in self.summary().splitlines():
            log.info("profile   %s", line)
        log.info("profile   trace of %d batches: %s, for https://ui.perfetto.dev", self.traced, self.file)

    def summary(self) -> str:
        """Return the summary: a line for each part with milliseconds a batch and share, and what to change."""
        trainer = self._trainer
        total = sum(self.host.values())
        columns = {"host ms": self.host, "GPU ms": self.gpu} if self._is_cuda else {"ms": self.host}
        *_, measured = columns.values()  # the last column adds up to what a user waits for, without `waiting`
        shares = {part: seconds / sum(measured.values()) for part, seconds in measured.items()}
        images = data_of(trainer).batch_size * trainer.world_size * self.batches
        lines = [
            f"{self.batches} batches on {device_name(trainer)} in {trainer.precision}: "
            f"{1000 * total / self.batches:.1f} ms each, {images / total:.2f} images/s of each domain",
            f"{'':9} {' '.join(f'{title:>9}' for title in columns)}  share",
        ]
        for part, meaning in PARTS.items():
            times = " ".join(f"{1000 * seconds[part] / self.batches:9.1f}" for seconds in columns.values())
            lines.append(f"{part:9} {times}  {shares[part]:5.0%}  {meaning}".rstrip())
        return "\n".join([*lines, advice(shares, self.host["waiting"] / total if self._is_cuda else None)])

    @property
    def _trainer(self) -> pl.Trainer:
        trainer: pl.Trainer = self._lightning_module.trainer  # type: ignore[attr-defined]
        return trainer

    @property
    def _is_measuring(self) -> bool:
        return self.warmup < self._begun <= self.warmup + self.batches

    def _part(self) -> str:
        return self._open[-1][0] if self._open else "other"

    def _begin_batch(self) -> None:
        if self._is_measuring:
            self._end_batch()
        if self._begun == 0:
            log.info(
                "profile   %d batches to warm up, %d that are measured, %d into a trace",
                *(self.warmup, self.batches, self.traced),
            )
        self._begun += 1
        measured = self._begun - self.warmup
        if measured == 1:
            self._synchronise()
        elif measured == self.batches + 1 and self._trainer.is_global_zero:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it prints its stages, and errors without a GPU
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._is_cuda else [])]
            self._trace = profile(activities=activities)
            self._trace.start()
        if measured == self.batches + self.traced:
            self._trainer.should_stop = True  # after this batch
        self._last = time.perf_counter()
        self._mark()

    def _end_batch(self) -> None:
        self._mark()
        self._synchronise()
        self.host["waiting"] += time.perf_counter() - self._last
        for (_, before), (part, after) in pairwise(self._events):
            self.gpu[part] += before.elapsed_time(after) / 1000
        self._events = []

    def _mark(self) -> None:
        """Add the time since the last mark to the part that ran until now."""
        if not self._is_measuring:
            return
        now = time.perf_counter()
        self.host[self._part()] += now - self._last
        self._last = now
        if self._is_cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append((self._part(), event))

    @property
    def _is_cuda(self) -> bool:
        return self._trainer.strategy.root_device.type == "cuda"

    def _synchronise(self) -> None:
        if self._is_cuda:
            torch.cuda.synchronize()

    def _end_trace(self) -> None:
        assert self._trace is not None
        self._synchronise()
        self._trace.stop()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._trace.export_chrome_trace(str(self.file))
        self._trace = None


def part_of(action: str, enclosing: str) -> str:
    """Return the part that an action of Lightning's belongs to; `enclosing` is that of the action around it."""
    return "logging" if action.startswith("[Callback]") else HOOKS.get(action.rpartition(".")[2], enclosing)


def advice(shares: dict[str, float], waiting: float | None) -> str:
    """Return what takes most of the time, and the keys that change it.

    Args:
        shares: of the parts, with the sum 1.
        waiting: share of the time in which the host waits for the GPU; None without a GPU.
    """
    if shares["data"] > MUCH:
        return (
            f"the loader holds up {shares['data']:.0%}: a higher data.num_workers reads more images at a time, "
            "data.cache=disk keeps them decoded and resized"
        )
    if shares["logging"] > MUCH:
        return f"callbacks take {shares['logging']:.0%}: the trace names them; ~callbacks.NAME removes one"
    if waiting is not None and waiting < MUCH:
        return (
            "the GPU waits for Python, which launches its work: a larger data.batch_size, or "
            "model.compile=reduce-overhead (CUDA graphs), launches less for each image"
        )
    networks = shares["forward"] + shares["backward"]
    return f"the networks take {networks:.0%}: trainer.precision, data.crop_size and model.generator change it"
