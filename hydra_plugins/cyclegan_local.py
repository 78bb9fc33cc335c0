"""hydra/launcher=local: the jobs of a sweep side by side on this machine, each with GPUs of its own."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
        from cyclegan.sweep.child import Stop
        from cyclegan.sweep.devices import Devices, visible_gpus
        from cyclegan.sweep.finish import finish
        from cyclegan.sweep.job import run_job
        from cyclegan.sweep.plan import Sweep

        sweep = Sweep(self._config)
        trainers = [frozen_trainer(sweep.job_folder(overrides)) for overrides in job_overrides]
        gpus = [] if all(trainer["accelerator"] == "cpu" for trainer in trainers) else visible_gpus()
        counts = [devices(trainer, len(gpus)) for trainer in trainers]
        at_once = self._jobs or max(len(gpus) // max(min(counts), 1), 1)
        threads = {} if gpus or at_once == 1 else {"OMP_NUM_THREADS": str(max((os.cpu_count() or 1) // at_once, 1))}
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
        return returns


def frozen_trainer(folder: Path) -> dict[str, object]:
    """Read the trainer's arguments of a frozen job."""
    import yaml

    found: dict[str, object] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["trainer"]
    return found


def devices(trainer: dict[str, object], gpus: int) -> int:
    """Return how many of a machine's GPUs a job takes: none on the CPU."""
    asked = trainer["devices"]
    if trainer["accelerator"] == "cpu" or not gpus:
        return 0
    return min(asked, gpus) if isinstance(asked, int) and asked > 0 else gpus
