"""The task of Hydra's launchers within a sweep: a job that the plan has frozen."""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from cyclegan.callbacks.stop_signals import EXIT_RESUME
from cyclegan.sweep.child import Stop
from cyclegan.sweep.finish import finish
from cyclegan.sweep.job import FINISHED, run_job
from cyclegan.sweep.names import job_name
from cyclegan.sweep.plan import changes, read_sweep

SECONDS_TO_THE_KILL = 600.0
"""A cluster kills a job that it stops within some seconds."""


def run_task(overrides: Sequence[str]) -> float | None:
    """Run the job with these overrides and return its objective.

    On a signal the job saves. Then submitit's handler gets the signal, and requeues; with other launchers the sweep
    ends.
    """
    folder = Path(HydraConfig.get().sweep.dir)
    stop = Stop()
    with stop.listening():
        job = run_job(folder / job_name(changes(overrides, read_sweep(folder)["swept"])), {}, stop)
    if stop.received and "submitit" not in HydraConfig.get().launcher._target_:
        finish(folder)
        sys.exit(EXIT_RESUME)  # a sweeper such as Optuna's may have further jobs
    if stop.received and job.state not in FINISHED:
        signal.raise_signal(stop.received[0])
        time.sleep(SECONDS_TO_THE_KILL)  # a result would make submitit take the job for done
    return job.objective
