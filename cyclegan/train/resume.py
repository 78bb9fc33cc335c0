"""Resume a run: read its checkpoint, and check that the present configuration describes the same run."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cyclegan.checkpoint.reading import newest_intact, read
from cyclegan.checkpoint.state_dicts import misfits
from cyclegan.data.training_data import STATE_KEY, stored_state
from cyclegan.errors import RunError
from cyclegan.loggers import new_run_id
from cyclegan.train.compatible import require_continuable, schedule_change
from cyclegan.train.run_folder import earlier_config

log = logging.getLogger(__name__)

WANDB_VARIABLES = {"project": "WANDB_PROJECT", "entity": "WANDB_ENTITY", "id": "WANDB_RUN_ID"}


@dataclass(frozen=True)
class StartingPoint:
    """The checkpoint that a run is resumed from."""

    path: Path
    content: dict[str, Any]

    @property
    def epochs(self) -> int:
        """Number of completed epochs."""
        return int(self.content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])

    @property
    def images(self) -> int:
        """Number of images of each domain seen."""
        return int(stored_state(self.content)["position"])


def starting_point(run_dir: Path, resume: str | None) -> StartingPoint | None:
    """Read the checkpoint that `resume` names; None for a new run, also if `auto` finds no checkpoint.

    Raises:
        CheckpointError: the checkpoint cannot be read; for `auto` or a folder, none of them can.
        RunError: it is no checkpoint of a training run, or the folder has none.
    """
    if not resume:
        return None
    place = run_dir if resume == "auto" else Path(resume)
    names_file = resume != "auto" and not place.is_dir()
    found = (place, read(place)) if names_file else newest_intact(place / "checkpoints")
    if found is None and resume == "auto":
        log.info("resume    no checkpoint found, so this is a new run")
        return None
    if found is None:
        raise RunError(f"resume={resume}: that folder holds no checkpoints/*.ckpt, as a run's does")
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
    """Check that a resumed run is the same as that of its checkpoint, and load the weights into `model`.

    Returns:
        lines for the log: which changes make the run no longer bit-exact, and how the schedule changes.

    Raises:
        RunError: a value changed that may not change, the weights do not fit, or `trainer.max_epochs` is less than the
            number of completed epochs.
    """
    old = start.content["config"]
    notes = require_continuable(old, config)
    epochs = int(config["trainer"]["max_epochs"])
    if 0 <= epochs < start.epochs:
        raise RunError(
            f"trainer.max_epochs is {epochs}, but {start.path} has had {start.epochs} epochs already: give that number "
            "or more, or an earlier checkpoint (resume=PATH)"
        )
    try:
        model.load_state_dict(start.content["state_dict"])
    except RuntimeError as error:
        found = misfits(model.state_dict(), start.content["state_dict"])
        raise RunError(
            f"the weights in {start.path} do not fit these networks ({found}): give the generator and discriminator "
            "of the run that wrote it, as its config.yaml names them"
        ) from error
    change = schedule_change(old, config, start.epochs)
    return [*notes, change] if change else notes


def name_wandb_run(config: DictConfig, start: StartingPoint | None) -> None:
    """Set the wandb project, entity and run id in the configuration, where it has none.

    They are taken from the WANDB_... environment variables if these name a run, as those of a wandb agent do; else from
    the resumed run; else a new id is drawn. A run that is resumed into another folder is a new wandb run.
    """
    entry = OmegaConf.select(config, "logger.wandb")
    if entry is None:
        return
    run_dir = Path(config.run_dir)
    sources = []
    if config.resume == "auto" or (start and start.path.resolve().parent.parent == run_dir.resolve()):
        known = [earlier_config(run_dir), start.content["config"] if start else {}]
        sources = [(found.get("logger") or {}).get("wandb") or {} for found in known]
    variables = {key: os.environ.get(name) for key, name in WANDB_VARIABLES.items()}
    sources.insert(0 if variables["id"] else len(sources), variables)
    for key, default in {"project": "cyclegan", "entity": None, "id": new_run_id()}.items():
        if key in entry and not entry[key]:
            entry[key] = next((source[key] for source in sources if source.get(key)), default)
