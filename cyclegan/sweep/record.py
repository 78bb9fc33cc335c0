"""The record of a sweep's jobs: `job.json` in the folder of each."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from cyclegan.files import write_text
from cyclegan.report.run_files import read_rows
from cyclegan.sweep.objective import objective

State = Literal["queued", "running", "done", "failed", "stopped", "pruned"]

JOB_FILE = "job.json"
FIRST_LINE = "# cyclegan-train"
"""Beginning of a config.yaml that a run wrote."""

IGNORED = ("name", "group", "resume", "overwrite", "objective", "objective_value", "logger")
"""Keys that do not say how a run was trained; nor does any run_dir."""

FOLLOWERS = {
    "model.seed": "seed",
    "data.seed": "seed",
    "model.schedule.total_epochs": "trainer.max_epochs",
    "callbacks.early_stopping.metric": "callbacks.checkpointing.best",
}
"""Keys that take the value of another key unless they are set."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    folder: Path
    overrides: dict[str, str]
    """The swept keys and their values, as text as on the command line."""
    state: State = "queued"
    seconds: float = 0.0
    """Time that it was running, over all its starts."""
    objective: float | None = None
    """None: not known yet."""
    message: str = ""
    """Last line of the error of a failed job."""


def asked_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the objective of a run's configuration: a column of metrics.csv, and best or last."""
    best = config.get("callbacks", {}).get("checkpointing", {}).get("best") or "kid"
    return config.get("objective") or f"val/{best}", config.get("objective_value", "best")


def natural(text: str) -> list[tuple[float, str]]:
    """Return a key that sorts texts by the numbers in them: 2 before 10, 1e-4 before 0.5."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", text)
    return [(float(part), "") if place % 2 else (0.0, part) for place, part in enumerate(parts)]


def write_job(job: Job) -> Path:
    """Write `job.json` into the job's folder, replacing it atomically, and return its path."""
    record = asdict(job) | {"overrides": dict(sorted(job.overrides.items()))}
    del record["folder"]  # a sweep may be moved
    return write_text(job.folder / JOB_FILE, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def read_job(folder: Path) -> Job:
    """Read the `job.json` of a job's folder.

    Raises:
        OSError: there is none.
    """
    return Job(folder, **json.loads((folder / JOB_FILE).read_text(encoding="utf-8")))


def read_jobs(*folders: Path) -> list[Job]:
    """Read the jobs one level below the folders of a sweep, in the natural order of their names: 2 before 10.

    A run that a sweep of this package did not start, and so has no `job.json`, is a job too. Its overrides are the
    keys in which the config.yaml files of these runs differ.
    """
    below = sorted((run for folder in folders for run in folder.glob("*/")), key=lambda run: natural(run.name))
    configs = {run: read_config(run) for run in below if not (run / JOB_FILE).is_file()}
    configs = {run: config for run, config in configs.items() if config}
    changed = dict(zip(configs, _differences(list(configs.values())), strict=True))
    found = (
        Job(run, changed[run], _state(run, configs[run]), objective=objective(run, *asked_of(configs[run])))
        if run in configs
        else read_job(run)
        for run in below
        if run in configs or (run / JOB_FILE).is_file()
    )
    return list(found)


def read_config(run: Path) -> dict[str, Any]:
    """Read the config.yaml that a run wrote into its folder; empty without one."""
    file = run / "config.yaml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return yaml.safe_load(text) if text.startswith(FIRST_LINE) else {}


def _state(run: Path, config: Mapping[str, Any]) -> State:
    epochs = [row.epoch for row in read_rows(run / "metrics.csv") if row.epoch is not None]
    last = config["trainer"].get("max_epochs")
    return "done" if last and epochs and epochs[-1] >= last else "stopped"


def _differences(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return, for each configuration, its values of the keys in which not all agree."""
    columns = dict(sorted(_compare(configs)))
    swept = [key for key in columns if columns[key] != columns.get(FOLLOWERS.get(key, ""))]
    return [{key: columns[key][place] for key in swept} for place in range(len(configs))]


def _compare(sections: Sequence[Mapping[str, Any]], path: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    is_same_class = len({str(section.get("_target_")) for section in sections}) == 1
    if not is_same_class:
        yield path, tuple(_shown(section) for section in sections)
    for name in dict.fromkeys(name for section in sections for name in section if name != "_target_"):
        key = f"{path}.{name}" if path else name
        values = [section.get(name) for section in sections]
        if key in IGNORED or name == "run_dir" or all(value == values[0] for value in values):
            continue
        if all(isinstance(value, Mapping) for value in values):
            yield from _compare(values, key)  # type: ignore[arg-type]
        elif is_same_class or all(name in section for section in sections):  # else an argument of one class only
            yield key, tuple(_shown(value) for value in values)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "_target_" in value:
        return str(value["_target_"]).rpartition(".")[2]
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()
