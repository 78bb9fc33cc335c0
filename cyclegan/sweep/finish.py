"""The end of a sweep: the table of its jobs, and its exit code."""

import sys
from pathlib import Path

from cyclegan.callbacks.stop_signals import EXIT_RESUME
from cyclegan.sweep.record import read_jobs


def finish(folder: Path) -> None:
    """Print the table of a sweep's jobs and end the process: 75 if jobs were stopped, 1 if any failed, else return."""
    from cyclegan.sweep.summary import jobs_table  # plotly, which a single run does without

    jobs = read_jobs(folder)
    print(f"\n{jobs_table(jobs)}\n\nsummary   {folder / 'summary.html'}", flush=True)
    states = [job.state for job in jobs]
    waiting = sum(state in ("queued", "running", "stopped") for state in states)
    if waiting:
        print(f"cyclegan-train: not done: {waiting} of {len(jobs)} jobs; the same command resumes it", file=sys.stderr)
        sys.exit(EXIT_RESUME)
    if failed := states.count("failed"):
        print(f"cyclegan-train: failed: {failed} of {len(jobs)} jobs; the same command repeats them", file=sys.stderr)
        sys.exit(1)
