"""Search: the space of values, a study that is killed and resumed, pruning, and the importance of keys."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from cyclegan.errors import RunError
from cyclegan.sweep.names import job_name
from cyclegan.sweep.plan import changes, check_machine
from cyclegan.sweep.record import Job, read_job, read_jobs, write_job
from cyclegan.sweep.search import Search
from cyclegan.sweep.search_space import as_overrides, probes, search_space
from cyclegan.train.configuration import conf_dir, explain
from tests.report.run_folders import write_table
from tests.tiny_run import SMALL_NETWORKS, TINY

optuna = pytest.importorskip("optuna")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402


def parsed(*words: str) -> dict[str, Override]:
    return {word.get_key_element(): word for word in OverridesParser.create().parse_overrides(list(words))}


def grid(*words: str) -> list[list[str]]:
    """Return the overrides of the jobs of Hydra's own sweeper."""
    return BasicSweeper.split_arguments(list(parsed(*words).values()), None)[0]


# ---------------------------------------------------------------------------------------------- the space


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a,b", CategoricalDistribution(["a", "b"])),
        ("1,2.5,null,true", CategoricalDistribution(["1", "2.5", "null", "True"])),
        ("choice(resnet, 'of two words',[1, 2])", CategoricalDistribution(["resnet", r"of\ two\ words", "[1,2]"])),
        ("interval(0, 1)", FloatDistribution(0, 1)),
        ("tag(log, interval(1e-5, 1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("int(interval(1, 9))", IntDistribution(1, 9)),
        ("int(tag(log, interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("range(1, 10)", IntDistribution(1, 9)),
        ("range(1, 10, 3)", IntDistribution(1, 7, step=3)),
        ("shuffle(range(9, 2, -3))", IntDistribution(3, 9, step=3)),
        ("range(0.1, 0.6, 0.1)", FloatDistribution(0.1, 0.5, step=0.1)),
    ],
)
def test_the_values_of_a_key_become_its_distribution(word: str, expected: Any) -> None:
    assert search_space(parsed("seed=3", f"key={word}", "~callbacks.report")) == {"key": expected}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lr=1", "a search needs a key with several values"),
        ("lr=interval(1, 0)", r"lr=interval\(1, 0\): .*low <= high.*"),
        ("lr=tag(log, interval(0, 1))", r"lr=tag\(log, interval\(0, 1\)\): .*low > 0.*"),
        ("lr=tag(lgo, interval(1, 2))", r".*: the tag 'lgo' means nothing here; a number takes tag\(log, ...\)"),
        ("lr=tag(log, choice(1, 2))", ".*: the tag 'log' means nothing here.*"),
        ("lr=range(2, 2)", r"lr=range\(2, 2\): this range has no values"),
    ],
)
def test_a_space_without_meaning_is_refused_in_one_line(word: str, message: str) -> None:
    with pytest.raises(RunError, match=f"^{message}") as caught:
        search_space(parsed(word))
    assert "\n" not in str(caught.value)


def test_a_grid_refuses_an_interval_and_names_what_takes_it() -> None:
    with pytest.raises(HydraException) as caught:
        grid("lr=interval(0, 1)")
    assert "hydra/sweeper=optuna" in explain(caught.value)


def test_a_job_has_what_all_have_in_common_and_its_own_values() -> None:
    overrides = parsed("seed=3", "lr=interval(0, 1)", "~callbacks.report", "data.root='a b'", "n=int(interval(1, 9))")
    # the grid of Hydra's own sweeper, where each key has one value
    expected = grid("seed=3", "lr=0.123457", "~callbacks.report", "data.root='a b'", "n=7")
    assert [as_overrides(overrides, {"lr": 0.12345678, "n": 7})] == expected


def test_probes_have_the_ends_of_every_number_and_every_category() -> None:
    found = probes(parsed("seed=3", "lr=interval(0, 1)", "net=a,b,c", "n=range(2, 9, 2)"))
    assert found == [
        ["seed=3", "lr=0", "net=a", "n=2"],
        ["seed=3", "lr=1", "net=b", "n=8"],
        ["seed=3", "lr=0", "net=c", "n=2"],
    ]


# ---------------------------------------------------------------------------------------------- the study

WORDS = ("seed=3", "x=interval(-1, 1)", "kind=a,b", "irrelevant=interval(0, 1)")
TPE = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 4, "seed": 0}
RANDOM = {"_target_": "optuna.samplers.RandomSampler", "seed": 0}


class KilledError(Exception):
    """Stands for the end of the sweep's process."""


class Jobs:
    """Stands for the jobs of a sweep: their objective is computed from their values, x².

    Args:
        folder: of the sweep.
        failing: values of `kind` with which jobs fail.
    """

    def __init__(self, folder: Path, failing: Sequence[str] = ()) -> None:
        self.folder, self.failing, self.started = folder, failing, list[str]()

    def freeze(self, overrides: list[str]) -> Path:
        values = changes(overrides, ["irrelevant", "kind", "x"])
        folder = self.folder / job_name(values)
        if not folder.exists():
            folder.mkdir()
            write_job(Job(folder, values))
        return folder

    def launch(self, jobs: list[list[str]], first: int) -> None:
        for overrides in jobs:
            job = read_job(self.freeze(overrides))
            if job.state == "done":
                continue
            self.started.append(job.folder.name)
            write_job(replace(job, state="running"))
            self.train(job)

    def train(self, job: Job) -> None:
        if job.overrides["kind"] not in self.failing:
            measure(job.folder, [float(job.overrides["x"]) ** 2])
        write_job(replace(job, state="failed" if job.overrides["kind"] in self.failing else "done"))


def measure(folder: Path, values: Sequence[float], metric: str = "val/kid") -> None:
    """Write the metrics.csv of a run that measures after every 10 images; the untrained networks have the value 0."""
    write_table(folder / "metrics.csv", [{"images_seen": 10 * i, metric: v} for i, v in enumerate([0.0, *values])])


def search(folder: Path, words: Sequence[str] = WORDS, sampler: Any = TPE, **changed: Any) -> Search:
    arguments = {"metric": "val/kid", "value": "best", "direction": None, "pruner": None} | changed
    return Search(folder=folder, overrides=parsed(*words), sampler=sampler, **arguments)


def run(folder: Path, total: int, sampler: Any = TPE, failing: Sequence[str] = ()) -> tuple[Search, Jobs]:
    """Run or resume a search, three trials at once."""
    found, jobs = search(folder, sampler=sampler), Jobs(folder, failing)
    found.run(jobs.freeze, jobs.launch, at_once=3, total=total)
    return found, jobs


def outcomes(found: Search) -> list[tuple[dict[str, Any], str, float | None]]:
    return [(trial.params, trial.state.name, trial.value) for trial in found.study.trials]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return run(tmp_path_factory.mktemp("uninterrupted"), total=10)[0]


def test_a_trial_has_the_objective_of_its_job(uninterrupted: Search) -> None:
    assert [trial.state.name for trial in uninterrupted.study.trials] == ["COMPLETE"] * 10
    for trial in uninterrupted.study.trials:
        assert trial.value == pytest.approx(trial.params["x"] ** 2, abs=1e-5)
    assert len(list(uninterrupted.folder.glob("*/job.json"))) == 10


@pytest.mark.parametrize(
    ("owner", "method", "count"),
    [(Jobs, "train", 7), (optuna.Study, "tell", 4), (Jobs, "freeze", 6)],
)
def test_a_killed_search_goes_on_with_the_same_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Search, owner: Any, method: str, count: int
) -> None:
    original, calls = getattr(owner, method), iter(range(1, count))

    def killed(*args: Any, **kwargs: Any) -> Any:
        if next(calls, None) is None:
            raise KilledError
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, killed)
        with pytest.raises(KilledError):
            run(tmp_path, total=10)
    assert len(list(tmp_path.glob("*/job.json"))) < 10
    found, jobs = run(tmp_path, total=10)
    assert outcomes(found) == outcomes(uninterrupted)
    # jobs that were done are not trained again
    assert len(jobs.started) < 10


def test_more_trials_are_added(tmp_path: Path, uninterrupted: Search) -> None:
    run(tmp_path, total=6)
    found, jobs = run(tmp_path, total=10)
    assert len(jobs.started) == 4
    assert outcomes(found) == outcomes(uninterrupted)
    assert run(tmp_path, total=10)[1].started == []


def test_a_sampler_does_not_repeat_its_random_numbers_in_the_next_start(tmp_path: Path) -> None:
    run(tmp_path, total=3, sampler=RANDOM)
    found = run(tmp_path, total=6, sampler=RANDOM)[0]
    assert len({trial.params["x"] for trial in found.study.trials}) == 6
    other = run(tmp_path / "other", total=3, sampler={**RANDOM, "seed": 1})[0]
    assert outcomes(other)[0] != outcomes(found)[0]


def test_a_failed_job_stops_no_other_and_is_tried_again_by_the_next_start(tmp_path: Path) -> None:
    found, jobs = run(tmp_path, total=9, failing="b")
    failed = [trial.params for trial in found.study.trials if trial.state.name == "FAIL"]
    assert [trial.state.name for trial in found.study.trials if trial.params["kind"] == "a"] == ["COMPLETE"] * (
        9 - len(failed)
    )
    assert 0 < len(failed) < 9
    assert len(jobs.started) == 9

    again, jobs = run(tmp_path, total=9)
    assert len(jobs.started) == len(failed)
    assert [(trial.params, trial.state.name) for trial in again.study.trials[9:]] == [
        (values, "COMPLETE") for values in failed
    ]
    assert run(tmp_path, total=9)[1].started == []


def test_trials_with_the_same_values_share_a_job(tmp_path: Path) -> None:
    found, jobs = search(tmp_path, ["x=1", "kind=a,b", "irrelevant=0"], sampler=RANDOM), Jobs(tmp_path)
    found.run(jobs.freeze, jobs.launch, at_once=4, total=8)
    assert len(jobs.started) == len(set(jobs.started)) == 2
    assert [trial.value for trial in found.study.trials] == [1.0] * 8


@pytest.mark.parametrize(
    ("metric", "given", "direction"),
    [("val/kid", None, "MINIMIZE"), ("val/psnr", None, "MAXIMIZE"), ("val/psnr", "minimize", "MINIMIZE"),
     ("train/cycle_a", None, "MINIMIZE")],
)  # fmt: skip
def test_the_direction_is_the_better_side_of_the_objective(
    tmp_path: Path, metric: str, given: str | None, direction: str
) -> None:
    assert search(tmp_path, metric=metric, direction=given).study.direction.name == direction


def test_another_objective_begins_another_study_of_the_same_jobs(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    unmeasured = search(tmp_path, metric="val/fid")
    with pytest.raises(RunError, match=r"no job has measured val/fid.*objective=COLUMN.*metrics.csv"):
        unmeasured.run(jobs.freeze, jobs.launch, at_once=3, total=6)
    assert len(jobs.started) == 3
    jobs = run(tmp_path, total=6)[1]
    assert len(jobs.started) == 3


def test_the_ends_of_a_range_may_change_and_categories_may_not(tmp_path: Path) -> None:
    run(tmp_path, total=1)
    search(tmp_path, ["x=interval(-2, 0)", "kind=a,b", "irrelevant=interval(0, 1)"])
    with pytest.raises(RunError, match=r"kind=a,b,c: the trials in .* had other categories"):
        search(tmp_path, ["x=interval(-2, 0)", "kind=a,b,c", "irrelevant=interval(0, 1)"])


def test_a_stopped_job_ends_the_search_and_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "train", lambda self, job: write_job(replace(job, state="stopped")))
    found, jobs = run(tmp_path, total=9)
    assert len(jobs.started) == 3
    assert [trial.state.name for trial in found.study.trials] == ["RUNNING"] * 3


# ---------------------------------------------------------------------------------------------- pruning

MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1, "n_warmup_steps": 15}


def test_a_running_job_that_is_worse_than_the_median_is_asked_to_stop(tmp_path: Path) -> None:
    found, jobs = search(tmp_path, pruner=MEDIAN), Jobs(tmp_path)

    def freeze(count: int) -> dict[int, Path]:
        return {number: jobs.freeze(words) for number, words in found.next_trials(count, 9).items()}

    def running(folder: Path, *values: float) -> None:
        write_job(replace(read_job(folder), state="running"))
        measure(folder, values)

    first = freeze(1)
    running(first[0], 0.5, 0.4, 0.3)
    found.prune(first)
    write_job(replace(read_job(first[0]), state="done"))
    found.tell(first)
    assert found.study.trials[0].intermediate_values == {10: 0.5, 20: 0.4, 30: 0.3}

    folders = freeze(3)
    better, worse, early = folders.values()
    running(better, 0.5, 0.39)
    running(worse, 0.5, 0.41)
    running(early, 0.9)
    for _ in range(2):  # as a thread does, again and again; rows are stored once
        found.prune(folders)
    assert [folder for folder in folders.values() if (folder / "prune").exists()] == [worse]
    running(early, 0.9, 0.8)
    found.prune(folders)
    assert (early / "prune").exists()

    for folder, state in zip(folders.values(), ("done", "pruned", "pruned"), strict=True):
        write_job(replace(read_job(folder), state=state))  # type: ignore[arg-type]
    assert found.tell(folders)
    assert [trial.state.name for trial in found.study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED"]
    assert found.study.best_value == 0.3


def test_a_thread_prunes_while_jobs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.sweep.search.WATCH_SECONDS", 0.01)
    first = search(tmp_path, pruner={"_target_": "optuna.pruners.ThresholdPruner", "upper": 0.5})
    jobs = Jobs(tmp_path)

    def train(self: Jobs, job: Job) -> None:
        measure(job.folder, [1.0])
        for _ in range(500):
            if (job.folder / "prune").exists():
                break
            time.sleep(0.01)
        write_job(replace(job, state="pruned" if (job.folder / "prune").exists() else "done"))

    monkeypatch.setattr(Jobs, "train", train)
    first.run(jobs.freeze, jobs.launch, at_once=1, total=1)
    assert outcomes(first)[0][1:] == ("PRUNED", 1.0)
    assert all(thread.name != "pruning" for thread in threading.enumerate())


# ---------------------------------------------------------------------------------------------- results


def test_the_best_trial_and_the_importance_of_keys(uninterrupted: Search, capsys: pytest.CaptureFixture[str]) -> None:
    uninterrupted.report()
    best = min(uninterrupted.study.trials, key=lambda trial: abs(trial.params["x"]))
    shown = capsys.readouterr().out
    assert f"x={best.params['x']:.6g}  val/kid {best.value:.4g}\n" in shown
    shares = json.loads((uninterrupted.folder / "importances.json").read_text())
    assert next(iter(shares)) == "x"
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["x"] > 0.5
    assert f"importance x {shares['x']:.0%}" in shown


def test_a_few_trials_say_nothing_about_importance(tmp_path: Path) -> None:
    run(tmp_path, total=9)
    assert not (tmp_path / "importances.json").exists()


@pytest.mark.parametrize(
    ("word", "sampler", "key"),
    [
        ("hparams_search=loss_weights", optuna.samplers.TPESampler, "model.loss_weights.cycle_a"),
        ("hydra/sweeper=random", optuna.samplers.RandomSampler, "seed"),
    ],
)
def test_the_configured_searches(tmp_path: Path, word: str, sampler: type, key: str) -> None:
    config = composed(word, f"run_dir={tmp_path}").hydra.sweeper
    words = [f"{name}={values}" for name, values in config.params.items()] or ["seed=range(9)"]
    found = search(tmp_path, words, sampler=config.sampler, pruner=config.pruner, direction=config.direction)
    assert key in next(iter(found.next_trials(1, config.n_trials).values()))[0]
    assert isinstance(found.study.sampler, sampler)


def composed(*words: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", ["experiment=toy", *words], return_hydra_config=True)


def test_a_search_without_optuna_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.sweep.plan.find_spec", lambda name: None)
    config = composed("hydra/sweeper=random")
    line = r"hydra/sweeper=random needs the package optuna, .*: pip install 'cyclegan\[search\]'"
    with pytest.raises(RunError, match=line):
        check_machine(config)


# ---------------------------------------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_command_searches_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    overrides = [
        *TINY, *SMALL_NETWORKS, "hparams_search=loss_weights", "name=search", f"data.root={tmp_path / 'toy'}",
    ]  # fmt: skip
    command = [sys.executable, "-m", "cyclegan.train", *overrides]
    folder = tmp_path / "runs/search"

    killed = subprocess.Popen([*command, "hydra.sweeper.n_trials=2"], cwd=tmp_path, start_new_session=True)
    wait_for(lambda: len(list(folder.glob("*/metrics.csv"))) == 2, killed)
    killed.kill()
    killed.wait()
    (last,) = [job.folder for job in read_jobs(folder) if job.state == "running"]
    assert len(read_jobs(folder)) == 2

    ended = subprocess.run([*command, "hydra.sweeper.n_trials=3"], cwd=tmp_path, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    jobs = read_jobs(folder)
    assert [job.state for job in jobs] == ["done"] * 3
    assert last in [job.folder for job in jobs]
    best = max(jobs, key=lambda job: job.objective or 0)
    assert f"best       {best.folder.name}  val/psnr {best.objective:.4g}" in ended.stdout
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert study.best_value == best.objective


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert process.poll() is None
        time.sleep(0.05)
