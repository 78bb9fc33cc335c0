"""A whole sweep with real trainings, each in a process of its own."""

import json
import signal
import subprocess
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, cast

import pytest

from cyclegan.sweep import job as job_module
from tests.command_line import Command, tiny
from tests.tiny_run import differences, metrics, read_checkpoint
from tests.train.torture import environment, fork, run_command


class Forked:
    """A training in a forked process, which has imported everything, with the interface of subprocess.Popen."""

    stdin = None

    def __init__(self, config_file: Path, output: Path, variables: Mapping[str, str]) -> None:
        words = ["--config", str(config_file), "resume=auto"]
        self._process: ForkServerProcess = fork(
            run_command, words, Path.cwd(), {**environment(), **variables}, Path.cwd() / output
        )
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self) -> None:
        self._process.join()

    def send_signal(self, number: signal.Signals) -> None:
        assert number == signal.SIGTERM
        self._process.terminate()


def forked(config_file: Path, output: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return cast("subprocess.Popen[bytes]", Forked(config_file, output, variables))


def test_a_job_trains_as_a_run_of_its_frozen_configuration_does(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "start", forked)
    words = ["objective=train/cycle_a", "objective_value=last", "seed=0,1", "hydra.launcher.jobs=2"]
    done = command("-m", *tiny("pair", "trainer.max_epochs=1", *words))
    assert done.code == 0, done.screen
    sweep = tmp_path / "runs" / "pair"
    found = [metrics(sweep / f"seed={seed}") for seed in (0, 1)]
    assert found[0] != found[1]
    records: list[dict[str, Any]] = [json.loads((sweep / f"seed={seed}/job.json").read_text()) for seed in (0, 1)]
    assert [record["objective"] for record in records] == [rows[-1]["train/cycle_a"] for rows in found]
    assert "epoch 1 of 1" in (sweep / "seed=0" / "output.txt").read_text()

    # The file alone is enough; a run of another name is written elsewhere.
    before = (sweep / "seed=1" / "metrics.csv").stat().st_mtime_ns
    again = command("--config", str(sweep / "seed=1" / "config.yaml"), "name=again")
    assert again.code == 0
    assert f"objective train/cycle_a last: {records[1]['objective']}" in again.screen
    assert metrics(tmp_path / "runs" / "again") == found[1]
    one, other = (read_checkpoint(run) for run in (sweep / "seed=1", tmp_path / "runs" / "again"))
    assert differences(one.pop("config"), other.pop("config")) != []
    assert differences(one["state_dict"], other["state_dict"]) == []
    assert differences(one["ranks"], other["ranks"]) == []
    assert (sweep / "seed=1" / "metrics.csv").stat().st_mtime_ns == before
