"""docs/wandb-sweep.yaml: the command that a wandb agent starts, and a preempted run that it starts again."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import yaml
from hydra import compose, initialize_config_dir
from wandb import wandb_agent

from cyclegan.train.configuration import conf_dir, hydra_arguments
from cyclegan.train.signatures import check_values
from cyclegan.validation.catalogue import higher_is_better, is_selectable
from tests.loggers.wandb_server import WandbServer
from tests.tiny_run import SMALL_NETWORKS, TINY, metrics
from tests.train.torture import environment

ROOT = Path(__file__).parents[2]
SWEEP = yaml.safe_load((ROOT / "docs" / "wandb-sweep.yaml").read_text())


def start(run_id: str, **parameters: float) -> dict[str, Any]:
    """What wandb's server sends to an agent."""
    values = dict.fromkeys(SWEEP["parameters"], 0.001) | parameters
    args = {name: {"value": value} for name, value in values.items()}
    return {"type": "run", "run_id": run_id, "program": SWEEP["program"], "args": args}


def test_the_agent_starts_each_run_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, "")  # set by the agent, and restored after the test
    started: list[tuple[str, list[str]]] = []

    class Process:
        def __init__(self, command: list[str], **_: Any) -> None:
            started.append((os.environ["WANDB_RUN_ID"], command))

    monkeypatch.setattr(wandb_agent, "AgentProcess", Process)
    agent: Any = wandb_agent.Agent(api=None, queue=None)
    agent._sweep_command = list(SWEEP["command"])
    agent._command_run(start("first"))
    agent._command_run(start("second", **{"model.loss_weights.identity": 0.1, "model.optimizer.lr": 5e-05}))
    assert [(run_id, program) for run_id, (program, *_) in started] == [
        ("first", "cyclegan-train"), ("second", "cyclegan-train"),
    ]  # fmt: skip

    words = started[1][1][1:]
    assert words[-2:] == ["model.loss_weights.identity=0.1", "model.optimizer.lr=5e-05"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", hydra_arguments(words))
    check_values(config)
    assert config.run_dir == "runs/wandb-sweep/s1/second"
    assert (config.model.loss_weights.identity, config.model.optimizer.lr) == (0.1, 5e-05)
    assert (config.resume, config.logger.wandb.name) == ("auto", None)


def test_the_sweep_optimises_a_logged_metric_towards_its_better_side() -> None:
    column = SWEEP["metric"]["name"].removeprefix("best/")
    assert is_selectable(column)
    assert SWEEP["metric"]["goal"] == ("maximize" if higher_is_better(column) else "minimize")
    numbers = [number for entry in SWEEP["parameters"].values() for number in entry.get("values", [entry.get("min")])]
    assert {type(number) for number in numbers} == {float}, "YAML reads 5e-5 as text"


class PreemptOnce(pl.Callback):
    """Send SIGTERM to the process after four batches, unless the run was resumed."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.is_new = trainer.global_step == 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.is_new and trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_a_preempted_run_continues_under_its_id_when_the_agent_starts_it_again(tmp_path: Path) -> None:
    preempt = f"+callbacks.preempt._target_={PreemptOnce.__module__}.{PreemptOnce.__qualname__}"
    quick = [*TINY, *SMALL_NETWORKS, f"data.root={tmp_path / 'toy'}", "logger=default", preempt]
    command = [word for word in SWEEP["command"] if not word.startswith("experiment=")]
    sweep = yaml.safe_dump(SWEEP | {"command": [*command[:-1], *quick, command[-1]]})
    with WandbServer(sweep, start("first1"), start("first1")) as server:
        variables = {
            **{name: value for name, value in environment().items() if not name.startswith("WANDB_")},
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": "0" * 40,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "no_proxy": "127.0.0.1",
        }
        agent = [sys.executable, "-m", "wandb", "agent", "--count", "2", "me/cyclegan/s1"]
        ended = subprocess.run(agent, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)

    folder = tmp_path / "runs" / "wandb-sweep" / "s1" / "first1"
    assert (folder / "config.yaml").exists(), ended.stdout + ended.stderr
    assert server.ends("first1") == [(1, True), (0, False)], "preempted, then complete"
    about = server.runs["first1"]
    assert (about["sweep"], about["jobType"], about.get("displayName")) == ("s1", "train", None)
    rows = server.lines("first1", "wandb-history.jsonl")
    assert [row["images_seen"] for row in rows if "train/cycle_a" in row] == [2, 4, 6, 8, 10, 12], "none twice"
    values = [row["val/psnr"] for row in metrics(folder) if "val/psnr" in row]
    assert [row["best/psnr"] for row in rows if "best/psnr" in row] == [values[1], max(values[1:])]
    assert server.lines("first1", "wandb-summary.json")[-1]["best/psnr"] == max(values[1:]), "a plain number"
