"""One job of a sweep: its child process, its progress, and the record of how it ended."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from cyclegan.callbacks.stop_signals import EXIT_RESUME
from cyclegan.report.run_files import read_rows, read_text
from cyclegan.sweep.child import Stop, kill, start
from cyclegan.sweep.objective import objective
from cyclegan.sweep.record import Job, State, read_job, write_job
from cyclegan.sweep.summary import write_summary
from cyclegan.train.run_folder import wait_until_free

OUTPUT_FILE = "output.txt"
"""What a job printed, in its folder."""

PRUNE_FILE = "prune"
"""A job in whose folder this file appears is stopped, and counts as pruned."""

FINISHED = ("done", "pruned")
POLL_SECONDS = 0.1
PROGRESS_SECONDS = 5.0
MESSAGE_LINES = 3

_summaries = threading.Lock()


def run_job(folder: Path, variables: Mapping[str, str], stop: Stop) -> Job:
    """Train a frozen job in a process of its own, or resume it, and return its record; a finished one stays as it is.

    Args:
        folder: of the job, which holds its config.yaml and job.json.
        variables: environment variables for the process, such as CUDA_VISIBLE_DEVICES.
        stop: once it has received a signal, the job saves and stops, or does not start.
    """
    wait_until_free(folder)  # a process of an earlier start may be saving still
    job = read_job(folder)
    if job.state in FINISHED or stop.received:
        return job
    _record(replace(job, state="running", message=""))
    begun = time.monotonic()
    child = start(folder / "config.yaml", folder / OUTPUT_FILE, variables)
    try:
        is_pruned = _wait(child, folder, stop)
    finally:
        kill(child)
    state = _state(child.returncode, is_pruned, bool(stop.received))
    config = _config(folder)
    job = replace(
        job,
        state=state,
        seconds=round(job.seconds + time.monotonic() - begun, 1),
        objective=objective(folder, config["objective"], config["objective_value"]),
        message=_message(folder, child.returncode) if state == "failed" else "",
    )
    _record(job)
    _print(job, config["objective"])
    return job


def _wait(child: subprocess.Popen[bytes], folder: Path, stop: Stop) -> bool:
    """Wait for a child, hand signals on, and return whether it was pruned."""
    handed, is_pruned, refreshed = 0, False, 0.0
    total = _config(folder)["trainer"]["max_epochs"]
    with tqdm(total=total, desc=folder.name, leave=False, disable=None, bar_format=BAR) as bar:
        while child.poll() is None:
            if (folder / PRUNE_FILE).exists() and not is_pruned:
                is_pruned = True
                child.send_signal(signal.SIGTERM)
            if len(stop.received) > handed:
                handed = len(stop.received)
                # As with a single run, a second Ctrl-C ends it at once.
                child.send_signal(signal.SIGTERM if handed == 1 else signal.SIGKILL)
            if not bar.disable and time.monotonic() - refreshed > PROGRESS_SECONDS:
                refreshed = time.monotonic()
                rows = read_rows(folder / "metrics.csv")
                bar.n = round(rows[-1].epoch or 0, 2) if rows else 0
                bar.refresh()
            time.sleep(POLL_SECONDS)
    (folder / PRUNE_FILE).unlink(missing_ok=True)
    return is_pruned


BAR = "{desc}  |{bar:20}| epoch {n:g} of {total:g}  {elapsed}, {remaining} left"


def _state(code: int, is_pruned: bool, is_stopped: bool) -> State:
    if code == 0:
        return "done"
    if is_pruned:
        return "pruned"
    # Before its first batch, a signal ends a training as it ends any process.
    return "stopped" if code == EXIT_RESUME or (is_stopped and code < 0) else "failed"


def _message(folder: Path, code: int) -> str:
    lines = [line for line in read_text(folder / OUTPUT_FILE).splitlines() if line.strip()]
    if code < 0:
        lines.append(f"ended by {signal.Signals(-code).name}")
    return "\n".join(lines[-MESSAGE_LINES:])


def _config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return found


def _record(job: Job) -> None:
    write_job(job)
    with _summaries:
        write_summary(job.folder.parent)


def _print(job: Job, metric: str) -> None:
    value = "" if job.objective is None else f"  {metric} {job.objective:.4g}"
    line = f"{job.state:8}  {job.folder.name}{value}  {tqdm.format_interval(job.seconds)}"
    tqdm.write("\n          ".join([line, *job.message.splitlines()]), file=sys.stdout)
