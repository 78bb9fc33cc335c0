"""The plan of a sweep: its jobs are composed, checked and frozen before the first of them begins."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from cyclegan.errors import RunError, UserError, missing
from cyclegan.files import write_text
from cyclegan.sweep.devices import visible_gpus
from cyclegan.sweep.finish import finish
from cyclegan.sweep.job import OUTPUT_FILE
from cyclegan.sweep.names import job_name, short_keys
from cyclegan.sweep.record import JOB_FILE, Job, read_job, read_jobs, write_job
from cyclegan.sweep.search import IMPORTANCES_FILE, STUDY_FILE
from cyclegan.sweep.search_space import probes
from cyclegan.train.compatible import is_free, require_continuable
from cyclegan.train.configuration import explain
from cyclegan.train.resume import name_wandb_run
from cyclegan.train.run_folder import SWEEP_FILE, clear, earlier_config, held, is_marked, save_config
from cyclegan.train.signatures import check_values

FIXED = ("name", "run_dir", "group", "resume", "overwrite")
"""Keys of the sweep, which no job changes."""

LONGEST_TAG = 64
"""Number of characters of a tag that wandb accepts."""


class Sweep:
    """A sweep and its folder.

    Args:
        master: what Hydra composes for all jobs together, with its node `hydra`.
    """

    def __init__(self, master: DictConfig) -> None:
        self.master = master
        HydraConfig.instance().set_config(master)  # what ${hydra:...} refers to, as in the default name
        self.folder = Path(master.hydra.sweep.dir)
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        parameters = master.hydra.sweeper.get("params") or {}
        given = OmegaConf.to_container(master.hydra.overrides.task, resolve=False)  # ${run_dir} differs between jobs
        words = [*(f"{key}={value}" for key, value in parameters.items()), *cast("list[str]", given)]
        # Of a key that is given twice, the last value counts, as in Hydra's sweepers.
        self.overrides: dict[str, Override] = {word.get_key_element(): word for word in parser.parse_overrides(words)}
        self.swept = sorted(key for key, word in self.overrides.items() if word.is_sweep_override())

    @property
    def fixed(self) -> dict[str, str]:
        """What all jobs have in common, as on the command line."""
        return {key: str(word.input_line) for key, word in sorted(self.overrides.items()) if key not in self.swept}

    def job_folder(self, overrides: Sequence[str]) -> Path:
        """Return the folder of a job, named by the swept keys among its overrides."""
        return self.folder / job_name(changes(overrides, self.swept))

    def check(self) -> None:
        """Check that this command may be a sweep in this folder, and that this machine has what it asks for.

        Raises:
            RunError: another command made the folder, a key of the sweep itself is swept, or an extra or a GPU is
                missing.
        """
        check_machine(self.master)
        if wrong := [key for key in FIXED if key in self.swept]:
            raise RunError(
                f"{wrong[0]}={self.overrides[wrong[0]].get_value_string()}: the jobs of a sweep share {wrong[0]}"
            )
        if self.master.resume not in (None, "auto"):
            raise RunError(
                f"resume={self.master.resume} names one run: a sweep resumes by the command that began it. Jobs start "
                "with the weights of a checkpoint by init_from"
            )
        if is_marked(self.folder):
            raise RunError(f"{self.folder} is the folder of a run: give the sweep another name (name=...)")
        if (self.folder / SWEEP_FILE).exists() and not self.master.overwrite:
            self._compare(read_sweep(self.folder))

    def _compare(self, before: Mapping[str, Any]) -> None:
        def lasting(words: Sequence[str]) -> set[str]:
            return {word for word in words if not is_free(word.lstrip("+~").partition("=")[0])}

        now = lasting(list(self.fixed.values()))
        changed = [
            *(f"without {word}" for word in sorted(lasting(before["fixed"]) - now)),
            *(f"with {word}" for word in sorted(now - lasting(before["fixed"]))),
        ]
        if self.swept != before["swept"]:
            changed = [f"it sweeps {', '.join(before['swept'])}, not {', '.join(self.swept)}"]
        if changed:
            raise RunError(
                f"{self.folder} holds the sweep of another command ({'; '.join(changed)}). Repeat that one, also with "
                f"more values, give this one another name (name=...), or begin anew (overwrite=true); it was: "
                f"{before['command']}"
            )

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose and check the configuration of a job.

        Raises:
            UserError: a value has the wrong type, or the job already ran with other values.
        """
        config = GlobalHydra.instance().config_loader().load_sweep_config(self.master, list(overrides))
        check_values(config)
        return self._resolved(config, overrides)

    def _resolved(self, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
        folder = self.job_folder(overrides)
        HydraConfig.instance().set_config(config)  # what ${hydra:...} refers to
        with open_dict(config):
            del config["hydra"]
        config.group = config.group or config.name
        config.name, config.run_dir = f"{config.name}/{folder.name}", str(folder)
        config.resume, config.overwrite = "auto", False
        config.objective = objective_metric(config)
        name_wandb_run(config, None)
        self._name_in_wandb(config, folder.name, overrides)
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        before = earlier_config(folder)
        if before and not self.master.overwrite:
            try:
                require_continuable(before, cast("dict[str, Any]", plain))
            except RunError as error:
                raise RunError(f"{folder}: {error}") from error
        return cast(DictConfig, OmegaConf.create(plain))

    def _name_in_wandb(self, config: DictConfig, name: str, overrides: Sequence[str]) -> None:
        """Set the run's name and tags to what the job changes, unless the user or wandb's variables set others."""
        entry = OmegaConf.select(config, "logger.wandb")
        if entry is None:
            return
        if entry.get("name") == config.name:
            entry.name = name
        if entry.get("tags") is None and "WANDB_TAGS" not in os.environ:
            short = short_keys(self.swept)
            tags = [f"{short[key]}={value}" for key, value in changes(overrides, self.swept).items()]
            entry.tags = [tag[:LONGEST_TAG] for tag in tags]

    def freeze(self, config: DictConfig, overrides: Sequence[str]) -> Path:
        """Write what `compose` returned into the job's folder, which is returned; finished jobs stay as they are."""
        folder = self.job_folder(overrides)
        if earlier_config(folder) != OmegaConf.to_container(config) or not (folder / JOB_FILE).exists():
            save_config(config, folder)
            job = read_job(folder) if (folder / JOB_FILE).exists() else Job(folder, changes(overrides, self.swept))
            write_job(Job(folder, job.overrides, "queued", job.seconds, job.objective))
        return folder

    def write(self) -> None:
        """Write sweep.yaml."""
        asked = {
            "command": shlex.join(["cyclegan-train", *sys.argv[1:]]),
            "fixed": list(self.fixed.values()),
            "swept": self.swept,
            "objective": objective_metric(self.master),
            "objective_value": self.master.objective_value,
        }
        write_text(self.folder / SWEEP_FILE, yaml.safe_dump(asked, sort_keys=False, allow_unicode=True, width=10_000))

    def clear(self) -> None:
        """Remove the files of all jobs, also of those that the sweep no longer has."""
        for job in read_jobs(self.folder):
            with held(job.folder):
                clear(job.folder)
                for name in (JOB_FILE, OUTPUT_FILE):
                    (job.folder / name).unlink(missing_ok=True)
        for file in [self.folder / IMPORTANCES_FILE, *self.folder.glob(f"{STUDY_FILE}*")]:  # and SQLite's journal
            file.unlink(missing_ok=True)


def read_sweep(folder: Path) -> dict[str, Any]:
    """Read the sweep.yaml of a sweep's folder."""
    found: dict[str, Any] = yaml.safe_load((folder / SWEEP_FILE).read_text(encoding="utf-8"))
    return found


def changes(overrides: Sequence[str], swept: Sequence[str]) -> dict[str, str]:
    """Return the swept keys of a job and their values, as on the command line."""
    values = dict(word.partition("=")[::2] for word in overrides)
    return {key: values[key] for key in swept if key in values}


def objective_metric(config: DictConfig) -> str:
    """Return the column of metrics.csv that a sweep compares: that of best.ckpt if none is set."""
    best = OmegaConf.select(config, "callbacks.checkpointing.best") or "kid"
    return str(config.objective or f"val/{best}")


class PlannedSweep(Callback):
    """Hydra callback that plans a sweep before its first job and prints its table after the last."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def __reduce__(self) -> tuple[type["PlannedSweep"], tuple[()]]:
        return PlannedSweep, ()  # submitit sends Hydra's callbacks to its jobs, which hold no lock

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Compose, check and freeze the jobs.

        A search freezes each job when it has chosen its values; here, the ends of its ranges and every option are
        checked.
        """
        try:
            self._plan(Sweep(config))
        except (UserError, HydraException, OmegaConfBaseException) as error:
            self._open.close()
            sys.exit(f"cyclegan-train: {explain(error)}")  # Hydra would turn other exceptions into warnings

    def _plan(self, sweep: Sweep) -> None:
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        sweep.check()
        self._open.enter_context(held(sweep.folder))
        compose_once()
        jobs: dict[tuple[str, ...], DictConfig] = {}
        sweeper = sweep.master.hydra.sweeper._target_
        if sweeper.endswith(".OptunaSweeper"):
            for job in probes(sweep.overrides):
                sweep.compose(job)
        elif sweeper.endswith(f".{BasicSweeper.__name__}"):
            listed = BasicSweeper.split_arguments(list(sweep.overrides.values()), None)[0]
            for job in tqdm(listed, "checking the jobs", leave=False, disable=len(listed) < 10 or None):
                jobs[tuple(job)] = sweep.compose(job)
        if sweep.master.overwrite:
            sweep.clear()
        sweep.write()
        for overrides, frozen in jobs.items():
            sweep.freeze(frozen, overrides)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table of the jobs and end with the sweep's exit code."""
        self._open.close()
        finish(Path(config.hydra.sweep.dir))


def compose_once() -> None:
    """Let Hydra keep the jobs that it composes: its sweeper composes each again, and so does its own launcher."""
    loader = GlobalHydra.instance().config_loader()
    compose, composed = loader.load_sweep_config, dict[tuple[str, ...], DictConfig]()

    def once(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        key = tuple(sweep_overrides)
        if key not in composed:
            composed[key] = compose(master_config, sweep_overrides)
        return composed[key].copy()

    loader.load_sweep_config = once  # type: ignore[method-assign]


def check_machine(config: DictConfig) -> None:
    """Check that this machine has the extras and the devices that a sweep asks for.

    Raises:
        RunError: one is missing.
    """
    chosen = config.hydra.runtime.choices
    for part, module in (("sweeper", "optuna"), ("launcher", "submitit")):
        if module in config.hydra[part]._target_ and find_spec(module) is None:
            raise RunError(f"hydra/{part}={chosen[f'hydra/{part}']} needs {missing(module)}")
    trainer = config.trainer
    if trainer.num_nodes != 1:
        raise RunError(f"trainer.num_nodes is {trainer.num_nodes}, but a job of a sweep runs on one machine")
    if "Local" not in config.hydra.launcher._target_ or trainer.accelerator not in ("gpu", "cuda"):
        return
    if not (gpus := visible_gpus()):
        raise RunError(
            f"trainer.accelerator is {trainer.accelerator}, but there is no GPU here: trainer.accelerator=cpu"
        )
    if isinstance(trainer.devices, int) and trainer.devices > len(gpus):
        raise RunError(f"trainer.devices is {trainer.devices}, but there are {len(gpus)} GPUs here")
