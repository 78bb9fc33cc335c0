"""A sweep whose jobs train in two processes each: Lightning's ddp strategy, gloo."""

import time
from itertools import pairwise, product
from pathlib import Path

import pytest

from tests.sweep.recorder import batches, recorded
from tests.sweep.torture import (
    STEPS,
    WORDS,
    Report,
    check,
    disturb,
    finish,
    jobs,
    kill_alone,
    sweeping,
    tree,
    wait_for,
)
from tests.tiny_run import read_checkpoint
from tests.train.torture import LIMIT, compare, end_all, environment, fork, run_command

pytestmark = pytest.mark.slow

TWO = (*WORDS, "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp", "data.batch_size=1")
SEEDS, IDENTITIES = (0, 1), (0.0, 0.5)
CONFIGURATIONS = list(product(SEEDS, IDENTITIES))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, float], Path]:
    """The folders of the jobs of an undisturbed sweep, by seed and weight of the identity loss."""
    folder = tmp_path_factory.mktemp("whole")
    finish(folder, [*TWO, "seed=0,1", "model.loss_weights.identity=0.0,0.5", "name=whole"])
    return {
        (int(job.overrides["seed"]), float(job.overrides["model.loss_weights.identity"])): job.folder
        for job in jobs(folder / "runs" / "whole")
    }


def alone(folder: Path, seed: int, identity: float) -> Path:
    """Train one configuration without -m, and return the folder of the run."""
    name = f"alone-{seed}-{identity}"
    words = [*TWO, f"name={name}", f"seed={seed}", f"model.loss_weights.identity={identity}"]
    process = fork(run_command, words, folder, environment(), folder / f"{name}.txt")
    process.join(LIMIT)
    end_all(process)
    assert process.exitcode == 0, (folder / f"{name}.txt").read_text()
    return folder / "runs" / name


def test_all_ranks_of_a_job_have_its_configuration(whole: dict[tuple[int, float], Path]) -> None:
    assert sorted(whole) == CONFIGURATIONS
    digests = set()
    for (seed, identity), run in whole.items():
        first, *numbers = recorded(run, rank=0)
        assert recorded(run, rank=1) == [first, *numbers]
        assert first.split()[1:] == [str(seed), str(identity)]
        assert numbers == [str(number) for number in range(1, STEPS + 1)]
        digests.add(first.split()[0])
    assert len(digests) == 4


def test_a_job_equals_a_single_run_of_its_configuration(whole: dict[tuple[int, float], Path], tmp_path: Path) -> None:
    for configuration, run in whole.items():
        assert compare(run, alone(tmp_path, *configuration)) == []
    for one, other in pairwise(CONFIGURATIONS):
        assert compare(whole[one], whole[other]) != []


def processes_of(sessions: set[int]) -> list[int]:
    """Return the numbers of the living processes of these sessions."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z" and int(session) in sessions:
            found.append(int(stat.parent.name))
    return found


def test_both_ranks_save_on_sigterm_and_end_with_the_sweep(
    whole: dict[tuple[int, float], Path], tmp_path: Path
) -> None:
    words = [*TWO, "seed=0,1", "model.loss_weights.identity=0.5", "name=killed"]
    sweep, report = tmp_path / "runs" / "killed", Report()

    with sweeping(tmp_path, words) as process:
        assert wait_for(process, sweep, done=0, training=True)
        disturb(process, sweep, "SIGTERM", {}, report)
    assert report.mistakes == []
    saved = [job.folder for job in jobs(sweep) if (job.folder / "checkpoints/last.ckpt").exists()]
    assert saved
    for run in saved:
        trained = list(range(1, read_checkpoint(run)["global_step"] + 1))
        assert batches(run) == trained, "a batch after the one that was saved"
        assert recorded(run, rank=1) == recorded(run, rank=0)

    with sweeping(tmp_path, words) as process:
        assert wait_for(process, sweep, done=0, training=True)
        assert process.pid is not None
        sessions = set(tree(process.pid)[1:])
        assert len(processes_of(sessions)) >= 2
        kill_alone(process)
        begun = time.monotonic()
        while processes_of(sessions):
            assert time.monotonic() - begun < 20, "processes outlive their sweep"
            time.sleep(0.05)

    finish(tmp_path, words)
    check(sweep, {}, report)
    assert (report.mistakes, report.repeated) == ([], 0), "on the end of the sweep, as on SIGTERM, jobs save"
    for seed in SEEDS:
        assert compare(whole[seed, 0.5], sweep / f"seed={seed}") == []
