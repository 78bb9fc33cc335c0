"""hydra/launcher=local: the jobs of a sweep side by side on this machine, each with GPUs of its own."""

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """Runs as many jobs at once as there are GPUs for, or as it is given; the others wait.

    Args:
        jobs: number of jobs at once; None: the number of GPUs over `trainer.devices`, or one on the CPU.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self._jobs = jobs
        self._config = DictConfig({})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs that the plan has frozen, and return their objectives."""
        # Hydra imports this file at the start of every command.
        from cyclegan.callbacks.stop_signals import EXIT_RESUME
        from cyclegan.inspection.pool import processors
        from cyclegan.sweep.child import Stop
        from cyclegan.sweep.devices import Devices
        from cyclegan.sweep.finish import finish
        from cyclegan.sweep.job import run_job
        from cyclegan.sweep.plan import Sweep
        from cyclegan.train.run_folder import earlier_config

        sweep = Sweep(self._config)
        trainers = [earlier_config(sweep.job_folder(overrides))["trainer"] for overrides in job_overrides]
        gpus = usable_gpus(trainers)
        counts = [devices(trainer, len(gpus)) for trainer in trainers]
        at_once = self.at_once(trainers)
        threads = {} if gpus else {"OMP_NUM_THREADS": str(max(processors() // at_once, 1))}
        if at_once == 1 or "OMP_NUM_THREADS" in os.environ:
            threads = {}
        free, stop = Devices(gpus), Stop()

        def run(overrides: Sequence[str], count: int) -> JobReturn:
            with free.taken(count) as mine:
                variables = {"CUDA_VISIBLE_DEVICES": ",".join(mine)} if mine else threads
                job = run_job(sweep.job_folder(overrides), variables, stop)
            return JobReturn(list(overrides), status=JobStatus.COMPLETED, _return_value=job.objective)

        with stop.listening(), ThreadPoolExecutor(at_once) as pool:
            returns = list(pool.map(run, job_overrides, counts))
        if stop.received:
            finish(sweep.folder)
            sys.exit(EXIT_RESUME)  # a sweeper such as Optuna's may have further jobs
        return returns

    def at_once(self, trainers: Sequence[Mapping[str, Any]]) -> int:
        """Return how many jobs with these arguments of the trainer run at once."""
        gpus = len(usable_gpus(trainers))
        return self._jobs or max(gpus // max(min(devices(trainer, gpus) for trainer in trainers), 1), 1)


def usable_gpus(trainers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the GPUs of this machine; none if all jobs are for the CPU."""
    from cyclegan.sweep.devices import visible_gpus

    return [] if all(trainer["accelerator"] == "cpu" for trainer in trainers) else visible_gpus()


def devices(trainer: Mapping[str, Any], gpus: int) -> int:
    """Return how many of a machine's GPUs a job takes: none on the CPU."""
    asked = trainer["devices"]
    if trainer["accelerator"] == "cpu" or not gpus:
        return 0
    return min(asked, gpus) if isinstance(asked, int) and asked > 0 else gpus
