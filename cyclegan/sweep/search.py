"""Search with Optuna: the study in the sweep's folder, pruning, and the importance of keys."""

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from hydra.core.override_parser.types import Override
from hydra.utils import instantiate

from cyclegan.errors import RunError
from cyclegan.files import write_text
from cyclegan.loggers import PRUNE_FILE
from cyclegan.report.run_files import read_rows
from cyclegan.sweep.names import job_name, short_keys
from cyclegan.sweep.objective import is_maximised, objective
from cyclegan.sweep.record import read_job
from cyclegan.sweep.search_space import as_overrides, search_space

if TYPE_CHECKING:
    from optuna.distributions import CategoricalChoiceType
    from optuna.trial import FrozenTrial, Trial

STUDY_FILE = "study.db"
"""SQLite: after a kill, the next start undoes a half-written change, and no lock remains. Only the sweep writes it."""

IMPORTANCES_FILE = "importances.json"
ENOUGH_TRIALS = 10
"""Number of finished trials from which the importance of keys is more than chance."""

TOP_TRIALS = 5
WATCH_SECONDS = 5.0


class Search:
    """A study of Optuna in a sweep's folder; its trials are the sweep's jobs.

    Args:
        folder: of the sweep.
        overrides: all of the sweep, by key.
        metric: the objective, a column of metrics.csv.
        value: `best` or `last`.
        direction: `minimize` or `maximize`; None: the better side of the metric.
        sampler: constructor call of a sampler of Optuna.
        pruner: constructor call of a pruner of Optuna; None: no trial is pruned.

    Raises:
        RunError: the categories of a key are not those of the trials in the folder.
    """

    def __init__(
        self,
        folder: Path,
        overrides: Mapping[str, Override],
        metric: str,
        value: str,
        direction: Literal["minimize", "maximize"] | None,
        sampler: Mapping[str, Any],
        pruner: Mapping[str, Any] | None,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.overrides, self.metric, self.value, self.sampler = folder, overrides, metric, value, sampler
        self.space = search_space(overrides)
        direction = direction or ("maximize" if is_maximised(metric) else "minimize")
        folder.mkdir(parents=True, exist_ok=True)
        self.study = optuna.create_study(
            storage=f"sqlite:///{folder / STUDY_FILE}",
            study_name=f"{direction} {value} {metric}",  # another objective begins another study, of the same jobs
            direction=direction,
            pruner=instantiate(pruner) if pruner else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        for trial in self.study.trials[-1:]:
            for key, distribution in trial.distributions.items():
                try:
                    optuna.distributions.check_distribution_compatibility(distribution, self.space[key])
                except ValueError as error:
                    raise RunError(
                        f"{overrides[key].input_line}: the trials in {folder} had other categories, or another kind of "
                        "number. Only the ends of a range may change: give this search another name (name=...), or "
                        "begin anew (overwrite=true)"
                    ) from error

    def run(
        self,
        freeze: Callable[[list[str]], Path],
        launch: Callable[[list[list[str]], int], object],
        at_once: int,
        total: int,
    ) -> None:
        """Run trials until there are enough of them, those that an earlier start began first, and report the results.

        Failed trials of an earlier start are tried again.

        Args:
            freeze: checks the overrides of a job, writes its files, and returns its folder.
            launch: runs jobs, given their overrides and the number of the first of them.
            at_once: number of trials that are chosen and launched together.
            total: number of trials of the search; a failed one and its repetition count as one.

        Raises:
            RunError: no job has measured the objective.
        """
        if not any(trial.state.name == "WAITING" for trial in self.study.trials):
            for values in self._failed():
                self.study.enqueue_trial(values)
        while trials := self.next_trials(at_once, total):
            folders = {number: freeze(overrides) for number, overrides in trials.items()}
            jobs = {folder: trials[number] for number, folder in folders.items()}  # trials may have the same values
            with self.watching(folders):
                launch(list(jobs.values()), min(trials))
            if not self.tell(folders):
                break
        self.report()

    def _failed(self) -> list[dict[str, "CategoricalChoiceType"]]:
        trials = self.study.trials
        others = [trial.params for trial in trials if trial.state.name != "FAIL"]
        found: list[dict[str, CategoricalChoiceType]] = []
        for trial in trials:
            if trial.state.name == "FAIL" and trial.params not in [*others, *found]:
                found.append(trial.params)
        return found

    def next_trials(self, at_once: int, total: int) -> dict[int, list[str]]:
        """Return the overrides of the trials to run next, by number: of those that are not finished, and of new ones.

        New ones are chosen in groups of `at_once`, which begin at multiples of it. So a search that was killed goes on
        with the same values as one that was not.
        """
        trials = self.study.trials
        running = {trial.number: trial.params for trial in trials if trial.state.name == "RUNNING"}
        chosen = [trial for trial in trials if trial.state.name != "WAITING"]
        counted = [trial for trial in chosen if trial.state.name != "FAIL"]
        left = total - len(counted) - len(self._failed()) + len(trials) - len(chosen)
        for _ in range(min(-len(chosen) % at_once if running else at_once, left)):
            trial = self._ask()
            running[trial.number] = trial.params
        return {number: as_overrides(self.overrides, values) for number, values in running.items()}

    def _ask(self) -> "Trial":
        # A sampler with the seed alone would begin its random numbers anew in each start.
        number = len(self.study.get_trials(deepcopy=False))
        seeded = {}
        if self.sampler.get("seed") is not None:
            seeded["seed"] = int(np.random.SeedSequence((self.sampler["seed"], number)).generate_state(1)[0])
        self.study.sampler = instantiate(self.sampler, **seeded)
        return self.study.ask(self.space)

    def tell(self, folders: Mapping[int, Path]) -> bool:
        """Store how trials ended, and return whether all of them are finished.

        Args:
            folders: of their jobs, by the trial's number.

        Raises:
            RunError: jobs are done, but neither they nor earlier ones have the objective.
        """
        from optuna.trial import TrialState

        jobs = {number: read_job(folder) for number, folder in folders.items()}
        done = [number for number, job in jobs.items() if job.state == "done"]
        values = {number: objective(folders[number], self.metric, self.value) for number in done}
        if done and not any(map(_is_finite, values.values())) and not self._complete():
            raise RunError(
                f"no job has measured {self.metric}, by which trials are compared: objective=COLUMN, one of those in "
                f"{folders[done[0]] / 'metrics.csv'}"
            )
        for number, job in jobs.items():
            if _is_finite(values.get(number)):
                self.study.tell(number, values[number])
            elif job.state in ("done", "failed", "pruned"):
                self.study.tell(number, state=TrialState.PRUNED if job.state == "pruned" else TrialState.FAIL)
        return all(job.state in ("done", "failed", "pruned") for job in jobs.values())

    def _complete(self) -> list["FrozenTrial"]:
        return [trial for trial in self.study.trials if trial.state.name == "COMPLETE"]

    # ------------------------------------------------------------------------------------------ pruning

    @contextmanager
    def watching(self, folders: Mapping[int, Path]) -> Iterator[None]:
        """Prune jobs within this block, from a thread that reads their metrics.csv as it grows."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(WATCH_SECONDS):
                self.prune(folders)

        thread = threading.Thread(target=watch, name="pruning")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def prune(self, folders: Mapping[int, Path]) -> None:
        """Store what running jobs have measured by images seen, and ask those to stop that the pruner gives up."""
        import optuna

        for number, folder in folders.items():
            if read_job(folder).state != "running":
                continue
            frozen = self.study.trials[number]
            trial = optuna.trial.Trial(self.study, frozen._trial_id)
            for row in read_rows(folder / "metrics.csv"):
                if row.images > (frozen.last_step or 0) and self.metric in row.metrics:
                    trial.report(row.metrics[self.metric], row.images)
            if trial.should_prune():
                (folder / PRUNE_FILE).touch()

    # ------------------------------------------------------------------------------------------ results

    def report(self) -> None:
        """Print the best trial, and print and write the importance of each key once there are enough trials."""
        from cyclegan.sweep.summary import write_summary  # plotly, which a single run does without

        complete = self._complete()
        if not complete:
            return
        best = self.study.best_trial
        words = as_overrides({key: self.overrides[key] for key in self.space}, best.params)
        name = job_name(dict(word.split("=", 1) for word in words))
        print(f"\nbest       {name}  {self.metric} {best.value:.4g}")
        if len(complete) >= ENOUGH_TRIALS:
            shares = self.importances()
            write_text(self.folder / IMPORTANCES_FILE, json.dumps(shares, indent=2) + "\n")
            write_summary(self.folder)
            short = short_keys(list(shares))
            print("importance", ", ".join(f"{short[key]} {share:.0%}" for key, share in shares.items()))

    def importances(self) -> dict[str, float]:
        """Return the share of each key in what made the best trials better: a tenth, or at least five (PED-ANOVA)."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        share = max(0.1, TOP_TRIALS / len(self._complete()))
        return get_param_importances(self.study, evaluator=PedAnovaImportanceEvaluator(target_quantile=share))


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
