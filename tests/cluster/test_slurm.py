"""Training on a real SLURM of two nodes, which `make test-cluster` starts on this machine: tests/cluster/slurm.sh."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from cyclegan.sweep.record import read_jobs
from tests.tiny_run import UNMEASURED
from tests.train import torture
from tests.train.torture import compare, environment, images_seen

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif("TEST_SLURM_CONF" not in os.environ, reason="there is no SLURM: run make test-cluster"),
]

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "scripts" / "slurm.sh"
LIMIT = 300  # seconds; two nodes on two cores are slow to start
SMALL_NODES = ("--ntasks-per-node=1", "--gpus-per-node=0", "--cpus-per-task=1", "--time=20")
WORDS = (*torture.WORDS, *UNMEASURED, "trainer.accelerator=cpu", "data.num_workers=0", "trainer.max_epochs=150")


def variables() -> dict[str, str]:
    """Return the environment of a job: the nodes' names n1 and n2 stand in no table of hosts."""
    paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"MASTER_ADDR": "127.0.0.1", "PATH": paths, "PYTHONPATH": str(ROOT)}
    return environment() | own | {"SLURM_CONF": os.environ["TEST_SLURM_CONF"]}


def slurm(folder: Path, *words: str) -> str:
    """Run a command of SLURM and return what it prints."""
    done = subprocess.run(words, cwd=folder, env=variables(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def submit(folder: Path, name: str) -> str:
    """Submit the script of the docs for a training, and return the number of the job."""
    words = (*SMALL_NODES, f"--output={name}.txt", "--parsable", str(SCRIPT), *WORDS, "data.batch_size=1")
    return slurm(folder, "sbatch", *words, f"name={name}")


def wait_until(is_so: Callable[[], bool], what: str) -> float:
    """Wait for a condition, and return the seconds."""
    start = time.monotonic()
    while not is_so():
        assert time.monotonic() - start < LIMIT, what
        time.sleep(0.05)
    return time.monotonic() - start


def field(folder: Path, job: str, name: str) -> str:
    """Return what SLURM says of a job, such as its JobState."""
    shown = slurm(folder, "scontrol", "show", "job", job)
    return {key: value for key, _, value in (word.partition("=") for word in shown.split())}[name]


def finish(folder: Path, job: str, name: str) -> None:
    wait_until(lambda: field(folder, job, "JobState") not in ("PENDING", "RUNNING", "COMPLETING"), f"{name} goes on")
    assert field(folder, job, "JobState") == "COMPLETED", (folder / f"{name}.txt").read_text()


def processes(job: str) -> dict[str, Path]:
    """Return the folders in /proc of the processes that train in a job, by their ranks."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            names = dict(word.partition("=")[::2] for word in (folder / "environ").read_text().split("\0"))
            program, *words = (folder / "cmdline").read_text().split("\0")
            is_training = "python" in program and words[0].endswith("cyclegan-train")  # srun is another
            if is_training and names.get("SLURM_JOB_ID") == job:
                found[names["SLURM_PROCID"]] = folder
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an undisturbed run on two nodes, runs/whole."""
    folder = tmp_path_factory.mktemp("slurm")
    finish(folder, submit(folder, "whole"), "whole")
    assert "batch     2 = 1 per device × 2 devices on 2 nodes × 1 accumulated" in (folder / "whole.txt").read_text()
    return folder


def disturbed(folder: Path, name: str, disturb: Callable[[str], object]) -> None:
    """Disturb a job on two nodes in the middle; it is requeued, and ends in the same state as the undisturbed one."""
    job, run = submit(folder, name), folder / "runs" / name
    wait_until(lambda: images_seen(run) > 100, f"{name} does not begin")
    before = processes(job)
    assert before.keys() == {"0", "1"}
    disturb(job)
    seconds = wait_until(lambda: not any(path.exists() for path in before.values()), f"{name} goes on")
    print(f"{name}: ended on both nodes after {seconds:.1f} s, at image {images_seen(run)}")
    assert seconds < 60
    slurm(folder, "scontrol", "update", f"JobId={job}", "TimeLimit=20")  # as submitted
    finish(folder, job, name)
    assert field(folder, job, "Restarts") == "1"
    assert "resume    from" in (folder / f"{name}.txt").read_text()
    assert compare(folder / "runs" / "whole", run) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_job_on_both_nodes_and_it_is_requeued(folder: Path, rank: int) -> None:
    disturbed(folder, f"killed{rank}", lambda job: os.kill(int(processes(job)[str(rank)].name), signal.SIGKILL))


def test_a_job_that_reaches_its_time_limit_saves_and_is_requeued(folder: Path) -> None:
    disturbed(folder, "late", lambda job: slurm(folder, "scontrol", "update", f"JobId={job}", "TimeLimit=1"))


def test_a_preempted_job_saves_and_is_requeued(folder: Path) -> None:
    disturbed(folder, "preempted", lambda job: slurm(folder, "srun", "--partition=urgent", "-N2", "sleep", "1"))


def test_a_sweep_with_disturbed_jobs_equals_an_undisturbed_one(tmp_path: Path) -> None:
    """The administrator requeues one job; another gets the signal that submitit asks for before the time limit."""
    words = ("-m", *WORDS, "objective=train/cycle_a", "objective_value=last", "seed=0,1,2,3")
    command = str(Path(sys.executable).with_name("cyclegan-train"))
    launcher = ("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null")
    screen = tmp_path / "cluster.txt"
    with screen.open("w") as file:
        sweep = subprocess.Popen(
            [command, *words, "name=cluster", *launcher], cwd=tmp_path, env=variables(), stdout=file, stderr=file
        )
    runs = {seed: tmp_path / "runs" / "cluster" / f"seed={seed}" for seed in range(4)}
    for seed, disturb in ((0, ("scontrol", "requeue")), (1, ("scancel", "--signal=USR2"))):
        wait_until(lambda seed=seed: sweep.poll() is not None or images_seen(runs[seed]) > 50, f"job {seed} waits")  # type: ignore[misc]
        listed = slurm(tmp_path, "squeue", "--noheader", "--states=R", "--format=%K %A").splitlines()
        job = dict(line.split() for line in listed)[str(seed)]
        slurm(tmp_path, *disturb, job)
    assert sweep.wait(LIMIT) == 0, screen.read_text()
    for seed in (0, 1):
        assert "resume    from" in (runs[seed] / "output.txt").read_text()

    subprocess.run([command, *words, "name=here", "hydra.launcher.jobs=2"], cwd=tmp_path, env=variables(), check=True)
    jobs = [read_jobs(tmp_path / "runs" / name) for name in ("cluster", "here")]
    assert [job.state for job in jobs[0]] == ["done"] * 4
    assert [job.objective for job in jobs[0]] == [job.objective for job in jobs[1]]
    for seed, run in runs.items():
        assert compare(tmp_path / "runs" / "here" / f"seed={seed}", run) == []
