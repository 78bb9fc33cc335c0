"""cyclegan-train: trains what the configuration describes."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cyclegan.callbacks.stop_signals import EXIT_RESUME, StopRequestedError
from cyclegan.configuration import conf_dir, explain, quoted
from cyclegan.memory import is_out_of_memory, remedies
from cyclegan.run_folder import RunError, added_by_lightning, claim, clear, is_first_process, save_config
from cyclegan.run_lock import held
from cyclegan.screen import open_screen

# torch and Lightning are imported where they are used: --help and --cfg job answer without them.
if TYPE_CHECKING:
    import pytorch_lightning as pl

    from cyclegan.resume import StartingPoint

log = logging.getLogger("cyclegan.train")  # also as python -m, in which __name__ is not below the package

PROGRAM = "cyclegan-train"
EXIT_INTERRUPTED = 130  # 128 + SIGINT
EXPECTED = (ValueError, OSError, HydraException, OmegaConfBaseException)
"""Errors whose text is enough for the user; any other is a defect, and shown with its traceback."""


# ---------------------------------------------------------------------------------------------- the run


def train(config: DictConfig) -> pl.Trainer:
    """Runs one training from a composed configuration to its end, in `config.run_dir`.

    Nothing in the folder changes before everything that the configuration names is built and found.

    Raises:
        RunError: the folder holds a run already or is in use, there is nothing to resume, what changed since may not
            change, or the parts do not fit together.
        StopRequestedError: the run was asked to stop, saved, and can be resumed.
    """
    with held(Path(config.run_dir)):
        return run(config)


def run(config: DictConfig) -> pl.Trainer:
    """What `train` does once the folder is this process's own."""
    import pytorch_lightning as pl
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    from cyclegan.assembly import assemble_trainer, refuse_unsuitable
    from cyclegan.resume import name_wandb_run, require_same_run, starting_point
    from cyclegan.saving import remove_unfinished
    from cyclegan.weights import initialise

    for group in ("features", "perceptual"):
        if group in config:
            raise RunError(
                f"the file of {group}=... puts its keys at the top: its first line has to be "
                "# @package callbacks.validation"
            )
    run_dir = Path(config.run_dir)
    claim(run_dir, config.resume, config.overwrite)
    start = starting_point(run_dir, config.resume)
    name_wandb_run(config, start)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]

    pl.seed_everything(config.seed, verbose=False)
    data = hydra.utils.instantiate(config.data, _convert_="all")
    model = hydra.utils.instantiate(config.model)
    trainer = assemble_trainer(config, plain)
    refuse_unsuitable(data, model, trainer, start.path if start else None)
    notes = []
    if start:
        notes = require_same_run(start, plain, model)
    elif config.init_from:
        notes = initialise(model, plain["init_from"])
    if trainer.is_global_zero:
        data.prepare_data()
        data.setup("fit")
        if config.overwrite and start is None:
            clear(run_dir)
        remove_unfinished(run_dir / "checkpoints")
        save_config(config, run_dir)
    for logger in trainer.loggers:
        logger.log_hyperparams(plain)
    announce(config, start, notes)
    steps_before = start.steps if start else 0
    path, start = start.path if start else None, None  # the weights are read again by fit: once in memory is enough
    try:
        trainer.fit(model, datamodule=data, ckpt_path=path, weights_only=True)
    except MisconfigurationException as error:
        raise RunError(str(error)) from error
    if path and trainer.global_step == steps_before and not trainer.should_stop:
        log.info("nothing left to do; to go on, give more epochs than trainer.max_epochs=%s", trainer.max_epochs)
    return trainer


def announce(config: DictConfig, start: StartingPoint | None, notes: list[str]) -> None:
    """Says where the run begins, unless it is simply a new one."""
    if start:
        log.info("resume    from %s: %s images, %d epochs", start.path, f"{start.images:,}", start.epochs)
    elif config.init_from:
        log.info("weights   from %s", config.init_from)
    for note in notes:
        log.info("%s", note)


# ---------------------------------------------------------------------------------------------- the command


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
def job(config: DictConfig) -> None:
    """One job of the command line: the only one, or one of a sweep."""
    quieten()
    sweeps = HydraConfig.get().mode == RunMode.MULTIRUN
    if sweeps:
        number_in_sweep(config)
    try:
        train(config)
    except StopRequestedError as stop:
        leave(stop)
    except Exception as error:
        trace = keep_traceback(config, error)
        if is_out_of_memory(error):
            text = f"{PROGRAM}: {remedies(config, error)}{trace}"
        elif isinstance(error, EXPECTED):
            text = f"{PROGRAM}: {explain(error)}{trace}"
        else:
            raise
        if not sweeps:
            sys.exit(text)
        print(text, file=sys.stderr)
        raise  # Hydra goes on with the other jobs, and fails in the end
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # Lightning's answer to one before the first batch
            interrupted()
        raise
    folder = Path(config.run_dir) / "checkpoints"
    made = next((path for name in ("best.ckpt", "last.ckpt") if (path := folder / name).exists()), None)
    if made:
        log.info("done      cyclegan-translate --checkpoint %s --input FOLDER --output FOLDER", shlex.quote(str(made)))


def leave(stop: StopRequestedError) -> None:
    """Ends the process of a run that was asked to stop, a whole sweep with it."""
    if is_first_process():
        print(f"{PROGRAM}: {stop}; resume=auto goes on from {stop.newest or 'the start'}", file=sys.stderr)
    # Lightning would end all processes at once if one that it added ended with an error.
    sys.exit(0 if stop.finished or added_by_lightning() else EXIT_RESUME)


def interrupted() -> None:
    """Ends the process after a Ctrl-C outside of the batches, as a shell expects it."""
    if is_first_process():
        print(f"{PROGRAM}: stopped by hand, without saving", file=sys.stderr)
    sys.exit(EXIT_INTERRUPTED)


def number_in_sweep(config: DictConfig) -> None:
    """Gives each job of a sweep a folder below the sweep's and a name to match, and groups them in wandb."""
    hydra_config = HydraConfig.get()
    config.group = config.group or config.name
    config.name = f"{config.name}/{hydra_config.job.num}"
    config.run_dir = hydra_config.runtime.output_dir


def keep_traceback(config: DictConfig, error: Exception) -> str:
    """Adds the error's traceback to train.log, if the folder is this run's, and says so."""
    if isinstance(error, RunError) or not is_first_process() or not (Path(config.run_dir) / "config.yaml").exists():
        return ""
    logging.getLogger("cyclegan.file").debug("%s", "".join(traceback.format_exception(error)))
    return f" (traceback in {Path(config.run_dir) / 'train.log'})"


def quieten() -> None:
    """Keeps Lightning from repeating what the start-up lines say, and every process but the first from saying it."""
    import warnings

    from pytorch_lightning.utilities.warnings import PossibleUserWarning

    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("cyclegan").setLevel(logging.INFO if is_first_process() else logging.WARNING)
    warnings.filterwarnings("ignore", category=PossibleUserWarning)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)  # Lightning on newer torch
    # What may come and go when a run is resumed is settled by require_continuable, in the configuration's terms.
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint.*")


def main() -> None:
    """The console script."""
    open_screen()
    # Hydra then raises instead of printing, and the error can be put into the user's terms here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv[1:] = quoted(sys.argv[1:])
    try:
        job()
    except EXPECTED as error:
        sys.exit(f"{PROGRAM}: {explain(error)}")
    except KeyboardInterrupt:
        interrupted()


if __name__ == "__main__":
    main()
