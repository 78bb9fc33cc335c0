"""Two processes train as one: the command line, Lightning's ddp strategy, gloo, float64 and real images."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cyclegan.train.command import train
from tests.faults import largest_file
from tests.small import small_cyclegan
from tests.tiny_run import SMALL_NETWORKS, STEPS_PER_EPOCH, TINY, composed, metrics, read_checkpoint, training_rows
from tests.train.torture import CLUSTER, images_seen, training, wait_for

TIMEOUT = 150  # seconds; two processes that both import torch take about fifteen
# Pools larger than the six images a domain that two epochs bring: while pools fill, they hand on what they get.
SHARED = ("trainer.precision=64-true", "model.pool_size=50", "trainer.max_epochs=2", "schedule=constant")


def command_line(*words: str, folder: Path, code: int = 0) -> str:
    """Runs the console script with its children, and ends all of them if it hangs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(CLUSTER)}
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("cyclegan-train")), *words],
        cwd=folder,
        # Gloo would look this machine's name up, which fails in some containers.
        env={**environment, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
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


def validations(run_dir: Path) -> list[dict[str, float]]:
    """The rows of held-out images' metrics."""
    return [row for row in metrics(run_dir) if "val/psnr" in row]


def test_two_processes_equal_one_with_the_doubled_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal weights and pools to 1e-9 say at once that gradients are averaged and that the same images are seen.

    All terms are on but the gradient penalty, whose random points are each process's own. Lightning is not told to
    look for unused parameters, so each of them must have a part in every step.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    one = train(composed(tmp_path / "one", tmp_path / "toy", *SHARED))
    # The two share a cache of decoded images, which changes none.
    words = (*TINY, *SMALL_NETWORKS, *SHARED, "data.root=toy", "data.batch_size=1", "data.cache=disk")
    # Lightning starts the second process by the same words and adds the run folder, which must survive its quoting.
    screen = command_line('name="one = two"', *words, "trainer.devices=2", "trainer.strategy=ddp", folder=tmp_path)
    two = tmp_path / "runs" / "one = two"

    ours, theirs = read_checkpoint(tmp_path / "one"), read_checkpoint(two)
    begin = small_cyclegan()
    assert ours["state_dict"].keys() == begin.state_dict().keys()
    assert ours["global_step"] == theirs["global_step"] == 2 * STEPS_PER_EPOCH
    assert ours["data"] == theirs["data"]
    assert (ours["data"]["position"], ours["data"]["epoch_start"]) == (12, 12)
    for name, value in ours["state_dict"].items():
        assert value.dtype == torch.float64
        assert (value - theirs["state_dict"][name]).abs().max() < 1e-9, name
    assert one.lightning_module.pool_a.size == 50
    assert len(validations(tmp_path / "one")) == 3
    for mine, other in zip(validations(tmp_path / "one"), validations(two), strict=True):
        assert mine == pytest.approx(other, rel=1e-6, abs=1e-6, nan_ok=True)

    # Each process keeps its own half of the fakes; the checkpoint has both, in the order of the ranks.
    (whole,), halves = ([rank["pools"] for rank in found["ranks"]] for found in (ours, theirs))
    assert len(halves) == 2
    for pool in ("a", "b"):
        images = whole[pool]["images"]
        assert len(images) == 12
        for rank, half in enumerate(halves):
            assert len(half[pool]["images"]) == 6
            for mine, image in zip(half[pool]["images"], images[rank::2], strict=True):
                assert (mine - image).abs().max() < 1e-9

    # One of them speaks and writes, and counts the images of both.
    assert [row["images_seen"] for row in training_rows(two)] == [2.0 * n for n in range(1, 7)]
    assert screen.count("epoch 2 of 2") == screen.count("done      ") == 1
    assert "2 × cpu" in screen
    assert "distributed" not in screen, "the start-up lines say it"
    assert screen.count("cache     ") == 1
    names = sorted(path.name for path in two.iterdir())
    assert names == [".lock", "checkpoints", "config.yaml", "metrics.csv", "samples", "train.log", "validation"]
    assert (two / "samples/epoch0002.jpg").read_bytes() == (tmp_path / "one/samples/epoch0002.jpg").read_bytes()


def test_two_processes_agree_that_the_end_was_not_saved(tmp_path: Path) -> None:
    words = (*TINY, *SMALL_NETWORKS, "name=full", "data.root=toy", "data.batch_size=1", "trainer.max_epochs=1")
    rest = ("trainer.devices=2", "trainer.strategy=ddp", "callbacks.checkpointing.retry_minutes=0.01")
    with largest_file(30_000):  # enough for all but a checkpoint; both processes inherit it
        screen = command_line(*words, *rest, "~callbacks.validation", folder=tmp_path, code=74)
    assert screen.count("save      failed, retrying for 0.01 minutes") == 1
    assert screen.count("its last state could not be saved in runs/full/checkpoints: [Errno 27] File too large") == 1
    assert "done  " not in screen
    assert list((tmp_path / "runs" / "full" / "checkpoints").iterdir()) == []


def test_a_signal_to_one_process_stops_both_and_one_device_can_go_on(tmp_path: Path) -> None:
    words = ("trainer.devices=2", "trainer.strategy=ddp", "data.batch_size=1", "data.num_workers=1")
    with training(tmp_path, "stopped", words, epochs=500) as process:
        run = tmp_path / "runs" / "stopped"
        wait_for(process, run, 8)
        assert process.pid
        os.kill(process.pid, signal.SIGTERM)  # Lightning's second process hears nothing of it
        process.join(TIMEOUT)
        assert process.exitcode == 75
    screen = (tmp_path / "stopped.txt").read_text()
    seen = images_seen(run)
    assert screen.splitlines()[-1] == (
        f"cyclegan-train: stopped by SIGTERM at {seen} images; "
        f"resume=auto continues from runs/stopped/checkpoints/images{seen:09d}.ckpt"
    )
    saved = read_checkpoint(run)
    assert saved["data"]["position"] == seen
    assert len(saved["ranks"]) == 2
    states = [rank["random"]["torch"] for rank in saved["ranks"]]
    assert not torch.equal(*states), "each process has random numbers of its own"

    alone = ("trainer.devices=1", "data.batch_size=1", "data.num_workers=0")
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
    assert positions[seen // 2 :] == list(range(seen + 1, int(positions[-1]) + 1)), "image by image from there"
