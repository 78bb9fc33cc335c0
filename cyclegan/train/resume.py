"""Where a run goes on, and whether it still is the same run."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cyclegan.checkpoint import reading
from cyclegan.checkpoint.state_dicts import misfits
from cyclegan.data.training_data import STATE_KEY, stored_state
from cyclegan.errors import RunError
from cyclegan.loggers import new_run_id
from cyclegan.train.compatible import rate_plan, require_continuable
from cyclegan.train.run_folder import earlier_config

log = logging.getLogger(__name__)

WANDB_VARIABLES = {"project": "WANDB_PROJECT", "entity": "WANDB_ENTITY", "id": "WANDB_RUN_ID"}


@dataclass(frozen=True)
class StartingPoint:
    """A checkpoint that a run goes on from."""

    path: Path
    content: dict[str, Any]

    @property
    def steps(self) -> int:
        """Optimiser steps that the weights have had."""
        return int(self.content["global_step"])

    @property
    def epochs(self) -> int:
        """Whole epochs that the weights have seen."""
        return int(self.content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])

    @property
    def images(self) -> int:
        """Images of each domain that the weights have seen."""
        return int(stored_state(self.content)["position"])

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the run that wrote it."""
        return dict(self.content["config"])


def starting_point(run_dir: Path, resume: str | None) -> StartingPoint | None:
    """The checkpoint that `resume` asks for; None for a new run, also where `auto` finds no checkpoint at all.

    Raises:
        CheckpointError: it cannot be read, or for `auto` none of those that there are.
        RunError: it is no checkpoint of a training, or a folder without any.
    """
    if not resume:
        return None
    if resume == "auto":
        found = reading.newest_intact(run_dir / "checkpoints")
        if found is None:
            log.info("resume    nothing there yet, so this is a new run")
            return None
    elif Path(resume).is_dir():
        found = reading.newest_intact(Path(resume) / "checkpoints")
        if found is None:
            raise RunError(f"resume={resume}: that folder holds no checkpoints/*.ckpt, as a run's does")
    else:
        found = Path(resume), reading.read(resume)
    path, content = found
    missing = [entry for entry in ("config", "loops", "state_dict") if entry not in content]
    if stored_state(content) is None:
        missing.append(STATE_KEY)
    if missing:
        raise RunError(
            f"{path} cannot be resumed: it has no {', '.join(missing)}, as the checkpoints of cyclegan-train have. "
            "To begin a new run with its weights: init_from=..."
        )
    return StartingPoint(path, content)


def require_same_run(start: StartingPoint, config: dict[str, Any], model: Any) -> list[str]:
    """Compares a run with the one that it goes on with.

    Returns:
        what the user should know: what is no longer exact, and how the learning rate moves from here on.

    Raises:
        RunError: something changed that may not, or there are fewer epochs than are done.
        CheckpointError: the checkpoint's configuration names foreign code for its schedule.
    """
    old = start.config
    notes = require_continuable(old, config)
    epochs = int(config["trainer"]["max_epochs"])
    if 0 <= epochs < start.epochs:
        raise RunError(
            f"trainer.max_epochs is {epochs}, but {start.path} has had {start.epochs} epochs already: give as many or "
            "more, or an earlier checkpoint (resume=PATH)"
        )
    try:
        model.load_state_dict(start.content["state_dict"])
    except RuntimeError as error:
        found = misfits(model.state_dict(), start.content["state_dict"])
        raise RunError(
            f"the weights in {start.path} do not fit these networks ({found}): give the generator and discriminator "
            "of the run that wrote it, as its config.yaml names them"
        ) from error
    plan = rate_plan(old["model"], config["model"], start.epochs, int(old["trainer"]["max_epochs"]), epochs)
    return [*notes, *([plan] if plan else [])]


def name_wandb_run(config: DictConfig, start: StartingPoint | None) -> None:
    """Settle which wandb run this is before it begins, where the configuration does not say it.

    That is the run of wandb's variables if they name one, as those of a wandb agent do; else a resumed run's own; else
    a new one. Its project, entity and id stand in the configuration, and so in config.yaml and in every checkpoint. A
    run that goes on in another folder than that of its checkpoint is another one.
    """
    entry = OmegaConf.select(config, "logger.wandb")
    if entry is None:
        return
    run_dir = Path(config.run_dir)
    same_folder = config.resume == "auto" or (
        start is not None and start.path.resolve().parent.parent == run_dir.resolve()
    )
    known = [earlier_config(run_dir), start.config if start else {}] if same_folder else []
    sources = [(found.get("logger") or {}).get("wandb") or {} for found in known]
    variables = {key: os.environ.get(name) for key, name in WANDB_VARIABLES.items()}
    sources.insert(0 if variables["id"] else len(sources), variables)
    for key, default in {"project": "cyclegan", "entity": None, "id": new_run_id()}.items():
        if key in entry and not entry[key]:
            entry[key] = next((source[key] for source in sources if source.get(key)), default)
