"""Kill a sweep at random moments, start it again by the same command, and compare its jobs with an undisturbed sweep.

Sweeps 20 small jobs, two at a time, once undisturbed and once disturbed: SIGKILL for the sweep's process alone or for
all processes, SIGTERM and SIGINT. In the end each job must have trained as if nothing had happened, bit for bit; a
finished job must not have been started again; and what was trained twice is at most what a SIGKILL lost.

    python -m tests.sweep.torture --folder FOLDER
"""

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from cyclegan.callbacks.stop_signals import EXIT_RESUME
from cyclegan.sweep.job import OUTPUT_FILE
from cyclegan.sweep.record import JOB_FILE, Job, read_jobs
from tests.sweep.recorder import RECORDER, batches, recorded
from tests.tiny_run import STEPS_PER_EPOCH, UNMEASURED, read_checkpoint
from tests.train import torture
from tests.train.torture import LIMIT, compare, environment, fork, run_command

EPOCHS = 3
STEPS = EPOCHS * STEPS_PER_EPOCH
WORDS = (
    *torture.WORDS,
    *UNMEASURED,
    "resume=auto",
    "data.num_workers=0",
    f"trainer.max_epochs={EPOCHS}",
    "hydra.launcher.jobs=2",
    RECORDER,
)
TWENTY = (f"seed={','.join(map(str, range(10)))}", "model.loss_weights.identity=0,0.5")


@dataclass
class Report:
    """Disturbances by their kind, batches that were trained twice, and what is wrong in the end."""

    kills: Counter[str] = field(default_factory=Counter)
    interrupted: int = 0
    repeated: int = 0
    mistakes: list[str] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------- a sweep


@contextmanager
def sweeping(folder: Path, words: Sequence[str], run: Callable[..., None] = run_command) -> Iterator[ForkServerProcess]:
    """Start a sweep in a forked process; kill what is left of it at the end."""
    here = str(Path(__file__).parents[2])
    process = fork(run, ["-m", *words], folder, environment() | {"PYTHONPATH": here}, folder / "screen.txt")
    try:
        yield process
    finally:
        kill_all(process)


def finish(folder: Path, words: Sequence[str], run: Callable[..., None] = run_command) -> None:
    """Run a sweep to its end."""
    with sweeping(folder, words, run) as process:
        process.join(LIMIT * 10)
        code = process.exitcode
    if code != 0:
        raise RuntimeError(f"the sweep ended with {code}:\n{(folder / 'screen.txt').read_text()}")


def tree(pid: int) -> list[int]:
    """Return the numbers of a process and of all that descend from it."""
    found = [pid]
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += [each for child in tasks.read_text().split() for each in tree(int(child))]
    return found


def kill_all(process: ForkServerProcess) -> None:
    """Kill a sweep with the sessions of its children, and wait for it."""
    assert process.pid is not None
    if process.exitcode is None:
        for pid in tree(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.join()


def kill_alone(process: ForkServerProcess) -> None:
    """Kill the process of a sweep. Its children notice by themselves."""
    process.kill()
    process.join()


# ---------------------------------------------------------------------------------------------- disturbances

KILLS: dict[str, Callable[[ForkServerProcess], None]] = {"alone": kill_alone, "all processes": kill_all}
SIGNALS = {"SIGTERM": (signal.SIGTERM, signal.SIGTERM), "SIGINT": (signal.SIGINT,)}  # `timeout` sends SIGTERM twice


def jobs(sweep: Path) -> list[Job]:
    return read_jobs(sweep) if sweep.is_dir() else []


def positions(sweep: Path) -> dict[Path, int]:
    """Return how many lines each job has recorded so far."""
    return {job.folder: len(recorded(job.folder)) for job in jobs(sweep)}


def wait_for(process: ForkServerProcess, sweep: Path, done: int, training: bool) -> bool:
    """Wait until jobs are done, and maybe until one trains; return False if the sweep has ended."""
    deadline = time.monotonic() + LIMIT
    before, begun = positions(sweep), time.time()
    while process.exitcode is None:
        found = jobs(sweep)
        # Not those that an earlier start left as running, while this one still plans and would end by a signal.
        running = [job for job in found if job.state == "running" and (job.folder / JOB_FILE).stat().st_mtime > begun]
        new = [recorded(job.folder)[before.get(job.folder, 0) :] for job in running]
        is_training = any(" " in "\t".join(lines[:-1]) and lines[-1] != str(STEPS) for lines in new)
        if running and sum(job.state == "done" for job in found) >= done and (is_training or not training):
            return True
        if time.monotonic() > deadline:
            raise TimeoutError(f"{sweep}: no further job for {LIMIT} s")
        time.sleep(0.005)
    return False


def disturb(process: ForkServerProcess, sweep: Path, kind: str, before: dict[Path, int], report: Report) -> None:
    """Kill a sweep or ask it to stop, and check how it leaves.

    Args:
        process: of the sweep.
        sweep: its folder.
        kind: of KILLS or SIGNALS.
        before: what `positions` returned before this start of the sweep.
        report: in which mistakes are noted.
    """
    if kind in KILLS:
        KILLS[kind](process)
        return
    assert process.pid is not None
    for number in SIGNALS[kind]:
        os.kill(process.pid, number)
        time.sleep(0.01)
    process.join(LIMIT)
    if process.exitcode != EXIT_RESUME:
        report.mistakes.append(f"{kind}: exit code {process.exitcode}")
    for job in jobs(sweep):
        if job.state not in ("done", "queued", "stopped"):
            report.mistakes.append(f"{kind}: {job.folder.name} is {job.state}")
        trained = [line for line in recorded(job.folder)[before.get(job.folder, 0) :] if " " not in line]
        if trained and read_checkpoint(job.folder)["global_step"] != int(trained[-1]):
            report.mistakes.append(f"{kind}: {job.folder.name} did not save its last batch, {trained[-1]}")


def check(sweep: Path, finished: dict[Path, str], report: Report) -> None:
    """Check that all jobs are done, that none was started again, and that they trained the batches once."""
    for job in jobs(sweep):
        if job.state != "done":
            report.mistakes.append(f"{job.folder.name} is {job.state}: {job.message}")
        if job.folder in finished and finished[job.folder] != (job.folder / OUTPUT_FILE).read_text():
            report.mistakes.append(f"{job.folder.name} was started again after its end")
        trained = batches(job.folder)
        report.interrupted += sum(" " in line for line in recorded(job.folder)) > 1
        report.repeated += len(trained) - STEPS
        if sorted(set(trained)) != list(range(1, STEPS + 1)):
            report.mistakes.append(f"{job.folder.name} trained {trained}")


def disturbed(
    folder: Path,
    words: Sequence[str],
    count: int,
    kinds: Sequence[str],
    rng: random.Random,
    pause: float,
    run: Callable[..., None] = run_command,
) -> Report:
    """Run the sweep `killed` of `count` jobs, disturbed in these ways one after the other, and then to its end.

    Args:
        folder: in which the command runs.
        words: of the command.
        count: of jobs.
        kinds: of KILLS and SIGNALS.
        rng: chooses the moments: while a job trains, or up to `pause` seconds after another's end.
        pause: see `rng`; a job starts within some seconds.
        run: `run_command`, or `run_forking`.
    """
    report, finished = Report(), dict[Path, str]()
    sweep, words = folder / "runs" / "killed", [*words, "name=killed"]
    for number, kind in enumerate(kinds, 1):
        before = positions(sweep)
        with sweeping(folder, words, run) as process:
            done = sum(job.state == "done" for job in jobs(sweep))
            # The last two jobs may end at the same moment, after which there is nothing to disturb.
            goal = done + rng.randint(0, max(0, count - done - 2) // (len(kinds) - number + 1))
            training = rng.random() < 0.6
            if not wait_for(process, sweep, goal, training):
                report.mistakes.append(f"ended before it was disturbed: {(folder / 'screen.txt').read_text()}")
                break
            time.sleep(0 if training else rng.uniform(0, pause))
            disturb(process, sweep, kind, before, report)
        report.kills[kind] += 1
        states = Counter(job.state for job in jobs(sweep))
        print(f"  {number}: {kind}; {dict(states)}", flush=True)
        for job in jobs(sweep):
            if job.state == "done":
                finished.setdefault(job.folder, (job.folder / OUTPUT_FILE).read_text())
    finish(folder, words, run)
    check(sweep, finished, report)
    return report


def torture_sweep(folder: Path, kinds: Sequence[str], seed: int) -> Report:
    """Run 20 jobs undisturbed and disturbed, and compare them."""
    words = [*WORDS, *TWENTY]
    finish(folder, [*words, "name=whole"])
    report = disturbed(folder, words, 20, kinds, random.Random(seed), pause=3)
    whole, killed = (jobs(folder / "runs" / name) for name in ("whole", "killed"))
    if len(whole) != 20 or [job.overrides for job in whole] != [job.overrides for job in killed]:
        report.mistakes.append(f"{len(whole)} and {len(killed)} jobs")
    for one, other in zip(whole, killed, strict=False):
        report.mistakes += [f"{one.folder.name}: {line}" for line in compare(one.folder, other.folder)]
    return report


def main() -> int:
    """Print the kills, and what is wrong in the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder, which keeps the runs")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    kinds = [*KILLS, random.Random(args.seed).choice(list(KILLS)), *SIGNALS]
    random.Random(args.seed).shuffle(kinds)
    args.folder.mkdir(parents=True, exist_ok=True)
    print("a sweep of 20 jobs, two at a time", flush=True)
    report = torture_sweep(args.folder, kinds, args.seed)
    for line in report.mistakes[:20]:
        print(f"  {line}")
    print(
        f"{report.kills.total()} disturbances: {dict(report.kills)}; {report.interrupted} jobs resumed, "
        f"{report.repeated} batches trained again; {'DIFFERENT' if report.mistakes else 'identical'}"
    )
    return int(bool(report.mistakes))


if __name__ == "__main__":
    sys.exit(main())
