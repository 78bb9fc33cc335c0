"""hydra/sweeper=optuna and random: a sweep whose jobs are the trials of a search."""

from typing import Any, Literal

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.cyclegan_local import LocalLauncher


class OptunaSweeper(Sweeper):
    """Chooses the values of some trials, launches them as jobs, and goes on with their objectives.

    Args:
        n_trials: number of trials in all, with those of earlier starts.
        jobs_at_once: number of trials that are chosen and launched together; None: as many as the launcher runs at
            once, or one if it does not say.
        direction: `minimize` or `maximize`; None: the better side of the objective.
        sampler: constructor call of a sampler of Optuna; an argument `seed` is combined with the trial's number.
        pruner: constructor call of a pruner of Optuna, to which a step is an image seen; None: no trial is pruned.
        params: the search space, by key, which Hydra adds to that of the command line.
    """

    def __init__(
        self,
        n_trials: int,
        jobs_at_once: int | None,
        direction: Literal["minimize", "maximize"] | None,
        sampler: DictConfig,
        pruner: DictConfig | None,
        params: DictConfig,
    ) -> None:
        self._n_trials, self._at_once = n_trials, jobs_at_once
        self._direction, self._sampler, self._pruner = direction, sampler, pruner

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._config = config
        self._launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run trials until there are enough of them. Trials that an earlier start began come first."""
        # Hydra imports this file at the start of every command.
        from cyclegan.sweep.plan import Sweep, objective_metric
        from cyclegan.sweep.search import Search

        sweep = Sweep(self._config)
        search = Search(
            folder=sweep.folder,
            overrides=sweep.overrides,
            metric=objective_metric(self._config),
            value=self._config.objective_value,
            direction=self._direction,
            sampler=self._sampler,
            pruner=self._pruner,
        )
        search.run(
            freeze=lambda overrides: sweep.freeze(sweep.compose(overrides), overrides),
            launch=self._launcher.launch,
            at_once=self._at_once or self._launched_at_once(),
            total=self._n_trials,
        )

    def _launched_at_once(self) -> int:
        if isinstance(self._launcher, LocalLauncher):
            return self._launcher.at_once([self._config.trainer])
        return int(self._config.hydra.launcher.get("array_parallelism", 1))  # of submitit
