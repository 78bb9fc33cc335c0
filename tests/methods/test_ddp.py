"""Two processes train as one: the command line, Lightning's ddp strategy, gloo, float64 and real pictures."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.train import train
from tests.small import small_cyclegan
from tests.tiny_run import SMALL_NETWORKS, STEPS_PER_EPOCH, TINY, composed, differences, metrics, read_checkpoint

TIMEOUT = 150  # seconds; two processes that both import torch take about fifteen
# All that a cluster's or an earlier launcher's environment could say about ranks and ports.
CLUSTER = ("MASTER_", "WORLD_SIZE", "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_", "TORCHELASTIC_", "PL_")
# Pools larger than the six images a domain that two epochs bring: while pools fill, they hand on what they get.
SHARED = ("trainer.precision=64-true", "model.pool_size=50", "trainer.max_epochs=2", "schedule=constant")


def command_line(*words: str, folder: Path) -> str:
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
    assert process.returncode == 0, screen
    return screen


def test_two_processes_equal_one_with_the_doubled_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal weights and pools to 1e-9 say at once that gradients are averaged and that the same pictures are seen.

    All terms are on but the gradient penalty, whose random points are each process's own. Lightning is not told to
    look for unused parameters, so each of them must have a part in every step.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    one = train(composed(tmp_path / "one", tmp_path / "toy", *SHARED))
    words = (*TINY, *SMALL_NETWORKS, *SHARED, "data.root=toy", "data.batch_size=1")
    # Lightning starts the second process by the same words and adds the run folder, which must survive its quoting.
    screen = command_line('name="one = two"', *words, "trainer.devices=2", "trainer.strategy=ddp", folder=tmp_path)
    two = tmp_path / "runs" / "one = two"

    ours, theirs = read_checkpoint(tmp_path / "one"), read_checkpoint(two)
    begin = small_cyclegan()
    assert ours["state_dict"].keys() == begin.state_dict().keys()
    assert ours["global_step"] == theirs["global_step"] == 2 * STEPS_PER_EPOCH
    assert ours["UnpairedData"] == theirs["UnpairedData"]
    assert (ours["UnpairedData"]["position"], ours["UnpairedData"]["epoch_start"]) == (12, 12)
    for name, value in ours["state_dict"].items():
        assert value.dtype == torch.float64
        assert (value - theirs["state_dict"][name]).abs().max() < 1e-9, name
    assert one.lightning_module.pool_a.size == 50

    # Each process keeps its own half of the fakes; the checkpoint has both, in the order of the ranks.
    (whole,), halves = ours["image_pools"], theirs["image_pools"]
    assert len(halves) == 2
    for pool in ("a", "b"):
        images = whole[pool]["images"]
        assert len(images) == 12
        for rank, half in enumerate(halves):
            assert len(half[pool]["images"]) == 6
            for mine, image in zip(half[pool]["images"], images[rank::2], strict=True):
                assert (mine - image).abs().max() < 1e-9

    # One of them speaks and writes, and counts the images of both.
    assert [row["images_seen"] for row in metrics(two)] == [2.0 * n for n in range(1, 7)]
    assert screen.count("epoch 2 of 2") == screen.count("done      ") == 1
    assert "2 × cpu" in screen
    names = sorted(path.name for path in two.iterdir())
    assert names == ["checkpoints", "config.yaml", "metrics.csv", "samples", "train.log"]
    assert (two / "samples/epoch=0002.jpg").read_bytes() == (tmp_path / "one/samples/epoch=0002.jpg").read_bytes()


@pytest.mark.parametrize(("rank", "expected"), [(0, 0), (1, 1), (2, 0)])
def test_each_process_takes_its_own_pools_back(monkeypatch: pytest.MonkeyPatch, rank: int, expected: int) -> None:
    """More processes than the checkpoint was written by share what there is."""
    saved = []
    for number in range(2):
        model = small_cyclegan(pool_size=2)
        model.pool_a.query(torch.full((1, 3, 4, 4), float(number)))
        checkpoint: dict[str, list[object]] = {}
        model.on_save_checkpoint(checkpoint)
        saved += checkpoint["image_pools"]
    resumed = small_cyclegan(pool_size=2)
    monkeypatch.setattr(CycleGAN, "global_rank", rank)
    resumed.on_load_checkpoint({"image_pools": saved})
    assert differences(resumed.pool_a.state_dict(), saved[expected]["a"]) == []  # type: ignore[index]
