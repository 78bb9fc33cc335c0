"""One job of a sweep: its child process, its progress, and the record of how it ended."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from cyclegan.callbacks.stop_signals import EXIT_RESUME
from cyclegan.errors import RunError
from cyclegan.loggers import PRUNE_FILE
from cyclegan.report.run_files import read_rows
from cyclegan.sweep.child import Stop, kill, start
from cyclegan.sweep.objective import objective
from cyclegan.sweep.record import Job, State, read_job, write_job
from cyclegan.train.run_folder import earlier_config, held

OUTPUT_FILE = "output.txt"
"""What a job printed, in its folder."""

FINISHED = ("done", "pruned")
POLL_SECONDS = 0.1
PROGRESS_SECONDS = 5.0
MESSAGE_LINES = 3
ERROR = "cyclegan-train: "

_summaries = threading.Lock()


def run_job(folder: Path, variables: Mapping[str, str], stop: Stop) -> Job:
    """Train a frozen job in a process of its own, or resume it, and return its record; a finished one stays as it is.

    Args:
        folder: of the job, which holds its config.yaml and job.json.
        variables: environment variables for the process, such as CUDA_VISIBLE_DEVICES.
        stop: once it has received a signal, the job saves and stops, or does not start.
    """
    _wait_until_free(folder, stop)
    job = read_job(folder)
    if job.state in FINISHED:
        return job
    if stop.received:
        if job.state == "running":  # in an earlier start, which was killed
            job = replace(job, state="stopped")
            write_job(job)
        return job
    write_job(replace(job, state="running", message=""))
    tqdm.write(f"running   {folder.name}", file=sys.stdout)
    begun, output = time.monotonic(), folder / OUTPUT_FILE
    output.touch()
    printed = output.stat().st_size
    child = start(folder / "config.yaml", output, variables)
    try:
        _summarise(folder.parent)  # while the child starts
        is_pruned = _wait(child, folder, stop)
    finally:
        kill(child)
    state = _state(child.returncode, is_pruned, bool(stop.received))
    config = earlier_config(folder)
    job = replace(
        job,
        state=state,
        seconds=round(job.seconds + time.monotonic() - begun, 1),
        objective=objective(folder, config["objective"], config["objective_value"]),
        message=_message(output, printed, child.returncode) if state == "failed" else "",
    )
    write_job(job)
    _summarise(folder.parent)
    _print(job, config["objective"])
    return job


def _wait_until_free(folder: Path, stop: Stop) -> None:
    """Wait for a process of an earlier start, which may be saving still."""
    waits_for = ""
    while not stop.received:
        try:
            with held(folder):
                return
        except RunError as error:
            if not waits_for:
                waits_for = str(error).partition(". ")[0]
                tqdm.write(f"waiting   {waits_for}", file=sys.stdout)
        time.sleep(POLL_SECONDS)


def _wait(child: subprocess.Popen[bytes], folder: Path, stop: Stop) -> bool:
    """Wait for a child, hand signals on, and return whether it was pruned."""
    is_asked, is_pruned, refreshed = False, False, 0.0
    with tqdm(
        desc=folder.name,
        total=earlier_config(folder)["trainer"]["max_epochs"],  # tqdm shows null and -1 as ?
        initial=_epoch(folder),
        leave=False,
        disable=None,
        bar_format="{desc}  |{bar:20}| epoch {n_fmt} of {total_fmt}  {elapsed}, {remaining} left",
    ) as bar:
        while child.poll() is None:
            is_pruned = is_pruned or (folder / PRUNE_FILE).exists()
            if (stop.received or is_pruned) and not is_asked:
                is_asked = True
                child.send_signal(signal.SIGTERM)
            if stop.is_urgent:
                child.send_signal(signal.SIGKILL)
            if not bar.disable and time.monotonic() - refreshed > PROGRESS_SECONDS:
                refreshed = time.monotonic()
                bar.n = _epoch(folder)
                bar.refresh()
            time.sleep(POLL_SECONDS)
    (folder / PRUNE_FILE).unlink(missing_ok=True)
    return is_pruned


def _epoch(folder: Path) -> float:
    rows = read_rows(folder / "metrics.csv")
    return round(rows[-1].epoch or 0, 2) if rows else 0


def _state(code: int, is_pruned: bool, is_stopped: bool) -> State:
    if code == 0:
        return "done"
    if is_pruned:
        return "pruned"
    # Before its first batch, a signal ends a training as it ends any process.
    return "stopped" if code == EXIT_RESUME or (is_stopped and code < 0) else "failed"


def _message(output: Path, start: int, code: int) -> str:
    """Return the error that a child printed in one line for the user, or the end of a traceback."""
    text = output.read_bytes()[start:].decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [number for number, line in enumerate(lines) if line.startswith(ERROR)]
    if code < 0:
        lines.append(f"ended by {signal.Signals(-code).name}")
    return "\n".join(lines[errors[-1] if errors else -MESSAGE_LINES :])


def _summarise(sweep: Path) -> None:
    from cyclegan.sweep.summary import write_summary  # plotly, which a single run does without

    with _summaries:
        try:
            write_summary(sweep)
        except OSError as error:  # such as a full disk; the next one may succeed
            tqdm.write(f"summary   not written: {error}", file=sys.stdout)


def _print(job: Job, metric: str) -> None:
    value = "" if job.objective is None else f"  {metric} {job.objective:.4g}"
    line = f"{job.state:8}  {job.folder.name}{value}  {tqdm.format_interval(job.seconds)}"
    tqdm.write("\n          ".join([line, *job.message.splitlines()]), file=sys.stdout)
