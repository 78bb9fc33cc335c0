"""Stub."""

from collections.abc import Sequence
from pathlib import Path

from cyclegan.sweep.record import Job


def write_summary(folder: Path) -> Path:
    return folder


def jobs_table(jobs: Sequence[Job]) -> str:
    return "\n".join(f"{job.folder.name} {job.state} {job.objective} {job.message}" for job in jobs)
