"""Training in several processes equals training in one: the command, Lightning's ddp strategy, gloo, float64."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from cyclegan.train.command import train
from tests.callbacks.test_no_waiting import EVERY, STEPS, counting
from tests.faults import largest_file
from tests.small import small_cyclegan
from tests.tiny_run import (
    METHODS,
    SMALL_NETWORKS,
    STEPS_PER_EPOCH,
    TINY,
    UNMEASURED,
    composed,
    metrics,
    read_checkpoint,
    training_rows,
)
from tests.train.torture import WORDS, end_all, environment, fork, images_seen, run_command, training, wait_for

TIMEOUT = 150  # seconds; two processes that import torch take about fifteen
# The pools are not full after two epochs; until then they return the images that they are given.
SHARED = ("trainer.precision=64-true", "model.pool_size=50", "trainer.max_epochs=2", "schedule=constant")


def command_line(*words: str, folder: Path, code: int = 0) -> str:
    """Run the console script, and kill it with its children after a timeout; return its output."""
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("cyclegan-train")), *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        screen, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"still running after {TIMEOUT} s: {process.communicate()[0]}")
    assert process.returncode == code, screen
    return screen


def run_rank(rank: int, largest: int, *arguments: Any) -> None:
    """Run the command in a process that cannot write files longer than `largest`."""
    # Lightning has read it from the environment of the process that this one is forked from.
    rank_zero_only.rank = rank  # type: ignore[attr-defined]
    with largest_file(largest):
        run_command(*arguments)


@contextmanager
def two_processes(folder: Path, largest: int, *words: str) -> Iterator[list[ForkServerProcess]]:
    """Start the command in two forked processes with the variables that torchrun sets; output is in `<rank>.txt`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "TORCHELASTIC_RUN_ID": "test"}
    processes = []
    for rank in range(2):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "GROUP_RANK": "0"}
        every = [*words, "trainer.devices=2", "trainer.strategy=ddp", "data.batch_size=1"]
        variables = environment() | meeting | place
        processes.append(fork(run_rank, rank, largest, every, folder, variables, folder / f"{rank}.txt"))
    try:
        yield processes
    finally:
        for process in processes:
            end_all(process)


def test_two_processes_equal_one_with_the_doubled_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and pools are equal to 1e-9, so gradients are averaged and the same images are seen.

    All loss terms are on but the gradient penalty, for which each process draws its own random points. DDP does not
    search for unused parameters, so each parameter must have a gradient in every step.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    one = train(composed(tmp_path / "one", tmp_path / "toy", *SHARED))
    # Both processes share a cache of decoded images.
    words = (*TINY, *SMALL_NETWORKS, *SHARED, "data.root=toy", "data.cache=disk", "name=two")
    with two_processes(tmp_path, resource.RLIM_INFINITY, *words) as processes:
        for process in processes:
            process.join(TIMEOUT)
    screen = "".join((tmp_path / f"{rank}.txt").read_text() for rank in range(2))
    assert [process.exitcode for process in processes] == [0, 0], screen
    two = tmp_path / "runs" / "two"

    ours, theirs = read_checkpoint(tmp_path / "one"), read_checkpoint(two)
    assert ours["state_dict"].keys() == small_cyclegan().state_dict().keys()
    assert ours["global_step"] == theirs["global_step"] == 2 * STEPS_PER_EPOCH
    assert ours["data"] == theirs["data"]
    assert (ours["data"]["position"], ours["data"]["epoch_start"]) == (12, 12)
    for name, value in ours["state_dict"].items():
        assert value.dtype == torch.float64
        assert (value - theirs["state_dict"][name]).abs().max() < 1e-9, name
    assert one.lightning_module.pool_a.size == 50
    validations, others = ([row for row in metrics(run) if "val/psnr" in row] for run in (tmp_path / "one", two))
    assert len(validations) == 3
    for mine, other in zip(validations, others, strict=True):
        assert mine == pytest.approx(other, rel=1e-6, abs=1e-6, nan_ok=True)

    # Each process has half of the generated images in its pools; the checkpoint has both, in the order of the ranks.
    (pools,), halves = ([rank["pools"] for rank in found["ranks"]] for found in (ours, theirs))
    assert len(halves) == 2
    for pool in ("a", "b"):
        images = pools[pool]["images"]
        assert len(images) == 12
        for rank, half in enumerate(halves):
            torch.testing.assert_close(half[pool]["images"], images[rank::2], rtol=0, atol=1e-9)

    # The first process logs and writes, and counts the images of both.
    assert [row["images_seen"] for row in training_rows(two)] == [2.0 * n for n in range(1, 7)]
    assert screen.count("epoch 2 of 2") == screen.count("done      ") == 1
    assert "2 × cpu" in screen
    assert "distributed" not in screen, "Lightning's own lines are not shown"
    assert screen.count("cache     ") == 1
    names = sorted(path.name for path in two.iterdir())
    assert names == [".lock", "checkpoints", "config.yaml", "metrics.csv", "samples", "train.log", "validation"]
    assert (two / "samples/epoch0002.jpg").read_bytes() == (tmp_path / "one/samples/epoch0002.jpg").read_bytes()


def require_equal_weights(one: Path, other: Path) -> None:
    ours, theirs = read_checkpoint(one), read_checkpoint(other)
    assert ours["global_step"] == theirs["global_step"] > 0
    assert ours["data"] == theirs["data"]
    for name, value in ours["state_dict"].items():
        assert (value - theirs["state_dict"][name]).abs().max() < 1e-9, name


@pytest.mark.slow
def test_four_processes_equal_one_with_the_batch_of_all(tmp_path: Path) -> None:
    train(composed(tmp_path / "one", tmp_path / "toy", *SHARED, "data.batch_size=4"))
    words = (*TINY, *SMALL_NETWORKS, *SHARED, "data.root=toy", "data.batch_size=1")
    # Lightning starts the other processes with the same arguments and the run folder, which needs quoting.
    screen = command_line('name="one = four"', *words, "trainer.devices=4", "trainer.strategy=ddp", folder=tmp_path)
    require_equal_weights(tmp_path / "one", tmp_path / "runs" / "one = four")
    assert screen.count("epoch 2 of 2") == screen.count("done      ") == 1
    assert "4 × cpu" in screen
    assert "distributed" not in screen, "Lightning's own lines are not shown"


@pytest.mark.slow
def test_two_processes_with_steps_of_the_discriminators_alone_equal_one(tmp_path: Path) -> None:
    """Generators have no gradients in every other step, and the average of their weights counts all images."""
    average = ("callbacks=ema_images", "callbacks.ema.decay.images=4")
    added = ("model.n_critic=2", "penalty=r1", "model.penalty.every=2")
    train(composed(tmp_path / "one", tmp_path / "toy", *SHARED, *average, *added))
    words = (*TINY, *average, *SMALL_NETWORKS, *SHARED, *added, "data.root=toy", "data.batch_size=1", "name=two")
    command_line(*words, "trainer.devices=2", "trainer.strategy=ddp", folder=tmp_path)
    require_equal_weights(tmp_path / "one", tmp_path / "runs" / "two")
    one, two = (read_checkpoint(run) for run in (tmp_path / "one", tmp_path / "runs" / "two"))
    for network, weights in one["ema"].items():
        for name, value in weights.items():
            assert (value - two["ema"][network][name]).abs().max() < 1e-9, name
        trained = (one["state_dict"][f"{network}.{name}"] for name in weights)
        assert any((value - now).abs().max() > 1e-6 for value, now in zip(weights.values(), trained, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pix2pix", ("model.generator.norm=instance", "model.discriminator.norm=instance")),
        ("cut", ("model.patches=1000",)),  # all positions of all layers, whose order changes nothing
        ("dualgan", ("model.penalty=null", "model.weight_clip=0.03")),
    ],
)
def test_two_processes_that_take_turns_equal_one(tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    """Parameters whose turn it is not have no gradients; the strategy follows without a key.

    For what a process draws for itself, see tests/methods/test_replicas.py.
    """
    shared = [word for word in SHARED if not word.startswith("model.pool_size")]
    words = (*METHODS[name], *shared, *words, "trainer.gradient_clip_val=0.5")
    train(composed(tmp_path / "one", tmp_path / "toy", *words))
    command = [*TINY, *words, "data.root=toy", "data.batch_size=1", "name=two"]
    command_line(*command, "trainer.devices=2", "trainer.strategy=ddp", folder=tmp_path)
    require_equal_weights(tmp_path / "one", tmp_path / "runs" / "two")


@pytest.mark.slow
def test_two_machines_under_torchrun_equal_one(tmp_path: Path) -> None:
    """Runs the script of docs/scaling.md for each machine, both on the loopback device."""
    train(composed(tmp_path / "one", tmp_path / "toy", *SHARED))
    words = (*TINY, *SMALL_NETWORKS, *SHARED, "data.root=toy", "data.batch_size=1", "name=two", "logger=csv")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    root = Path(__file__).parents[2]
    paths = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(root)}
    agents = []
    for number in range(2):
        with (tmp_path / f"{number}.txt").open("w") as screen:
            agents.append(
                subprocess.Popen(
                    [str(root / "docs/scripts/torchrun.sh"), *words, "trainer.accelerator=cpu"],
                    cwd=tmp_path,
                    env=environment() | paths | {"MACHINES": "2", "GPUS": "1", "FIRST": address},
                    stdout=screen,
                    stderr=screen,
                    start_new_session=True,
                )
            )
    try:
        codes = [agent.wait(TIMEOUT) for agent in agents]
    finally:
        for agent in agents:
            with suppress(ProcessLookupError):
                os.killpg(agent.pid, signal.SIGKILL)
    assert codes == [0, 0], (tmp_path / "0.txt").read_text()
    require_equal_weights(tmp_path / "one", tmp_path / "runs" / "two")


@pytest.mark.slow
def test_two_processes_fail_together_if_the_last_state_cannot_be_saved(tmp_path: Path) -> None:
    words = (*TINY, *SMALL_NETWORKS, *UNMEASURED, "data.root=toy", "name=full", "trainer.max_epochs=1")
    # All files but a checkpoint are smaller than 30 kB.
    with two_processes(tmp_path, 30_000, *words, "callbacks.checkpointing.retry_minutes=0.01") as processes:
        for process in processes:
            process.join(TIMEOUT)
        assert [process.exitcode for process in processes] == [74, 74]
    screen = (tmp_path / "0.txt").read_text()
    assert screen.count("save      failed, retrying for 0.01 minutes") == 1
    assert screen.count("its last state could not be saved in runs/full/checkpoints: [Errno 27] File too large") == 1
    assert "done  " not in screen
    assert list((tmp_path / "runs" / "full" / "checkpoints").iterdir()) == []


def test_a_signal_to_one_process_stops_both_and_one_device_can_resume(tmp_path: Path) -> None:
    words = (*WORDS, "name=stopped", "data.num_workers=1", "trainer.max_epochs=500")
    with two_processes(tmp_path, resource.RLIM_INFINITY, *words) as processes:
        run = tmp_path / "runs" / "stopped"
        wait_for(processes[0], run, 8)
        assert processes[0].pid
        os.kill(processes[0].pid, signal.SIGTERM)  # the second process gets no signal
        for process in processes:
            process.join(TIMEOUT)
        assert [process.exitcode for process in processes] == [75, 75]
    screen = (tmp_path / "0.txt").read_text()
    seen = images_seen(run)
    assert screen.splitlines()[-1] == (
        f"cyclegan-train: stopped by SIGTERM at {seen} images; "
        f"resume=auto continues from runs/stopped/checkpoints/images{seen:09d}.ckpt"
    )
    saved = read_checkpoint(run)
    assert saved["data"]["position"] == seen
    assert len(saved["ranks"]) == 2
    states = [rank["random"]["torch"] for rank in saved["ranks"]]
    assert not torch.equal(*states), "each process has its own random state"

    alone = (*WORDS, "trainer.devices=1", "data.batch_size=1", "data.num_workers=0")
    with training(tmp_path, "stopped", alone, epochs=500) as process:
        wait_for(process, run, seen + 4)
        assert process.pid
        os.kill(process.pid, signal.SIGTERM)
        process.join(TIMEOUT)
        assert process.exitcode == 75
    screen = (tmp_path / "stopped.txt").read_text()
    assert "trainer.devices: 2 → 1 (no longer bit-exact)" in screen
    positions = [row["images_seen"] for row in training_rows(run)]
    assert positions[: seen // 2] == list(range(2, seen + 1, 2))
    assert positions[seen // 2 :] == list(range(seen + 1, int(positions[-1]) + 1)), (
        "one image per step after the resume"
    )


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_the_death_of_one_process_ends_the_other_and_the_run_can_be_resumed(tmp_path: Path, victim: int) -> None:
    words = (*WORDS, "name=killed", "trainer.max_epochs=500", "resume=auto")
    with two_processes(tmp_path, resource.RLIM_INFINITY, *words) as processes:
        run = tmp_path / "runs" / "killed"
        wait_for(processes[0], run, 8)
        processes[victim].kill()
        processes[1 - victim].join(20)
        assert processes[1 - victim].exitcode == 1
    before = read_checkpoint(run)["data"]["position"]
    with two_processes(tmp_path, resource.RLIM_INFINITY, *words) as processes:
        assert wait_for(processes[0], run, before + 4)
    assert f"resume    from {run.relative_to(tmp_path)}/checkpoints/" in (tmp_path / "0.txt").read_text()


class PoisonSecond(pl.Callback):
    """Set a pixel of domain A to NaN on the second device, after `steps` steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        if trainer.global_rank == 1 and trainer.global_step == self.steps:
            batch["A"][0, 0, 0, 0] = float("nan")


@pytest.mark.slow
def test_processes_talk_only_in_backward_passes_between_two_rows_and_name_the_spoilt_batch_of_another(
    tmp_path: Path,
) -> None:
    words = (*TINY, *SMALL_NETWORKS, *STEPS, "data.root=toy", "name=two", "logger=csv", "trainer.accelerator=cpu")
    poison = f"+callbacks.poison={{_target_: {PoisonSecond.__module__}.PoisonSecond, steps: {2 * EVERY + 1}}}"
    watching = counting(EVERY, 2 * EVERY - 1, tmp_path)
    with two_processes(tmp_path, resource.RLIM_INFINITY, *words, watching, poison, "data.batch_size=1") as processes:
        for process in processes:
            process.join(TIMEOUT)
        assert [process.exitcode for process in processes] == [1, 1]
    for rank in range(2):
        counts = json.loads((tmp_path / f"reads{rank}.json").read_text())
        assert [counts[str(step)] for step in range(EVERY, 2 * EVERY - 1)] == [0] * (EVERY - 1)
        assert counts[str(2 * EVERY - 1)] > 0
    errors = [(tmp_path / f"{rank}.txt").read_text().splitlines()[-1] for rank in range(2)]
    assert errors[0] == errors[1]
    assert "train/cycle_a is nan" in errors[0]
    assert "at 20 images, in a batch of A: " in errors[0]
