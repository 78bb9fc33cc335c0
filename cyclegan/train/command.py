"""cyclegan-train: train the model that the configuration describes."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cyclegan.callbacks.stop_signals import EXIT_NOT_SAVED, EXIT_RESUME, SavingError, StopRequestedError
from cyclegan.cli import VERSION, open_screen
from cyclegan.errors import RunError, UserError, is_out_of_memory
from cyclegan.sweep.child import end_with_parent
from cyclegan.sweep.objective import objective
from cyclegan.train.configuration import conf_dir, explain, frozen_config, hydra_arguments
from cyclegan.train.profiled import is_profiled, without_epochs
from cyclegan.train.run_folder import added_by_lightning, claim, clear, held, is_first_process, save_config, settle_rank
from cyclegan.train.signatures import check_values

# torch and Lightning are imported where they are used: --help and --cfg job answer without them.
if TYPE_CHECKING:
    import pytorch_lightning as pl

    from cyclegan.train.resume import StartingPoint

log = logging.getLogger("cyclegan.train")  # __name__ is __main__ in python -m

PROGRAM = "cyclegan-train"
EXIT_INTERRUPTED = 130  # 128 + SIGINT
REPEATED = (
    *("GPU available", "TPU available", "LOCAL_RANK: ", "You are using a CUDA device", "Using bfloat16", "Using 16bit"),
    *("Initializing distributed", "-" * 100, "Seed set to", "Restoring states", "Restored all", "`weights_only`"),
    *("`Trainer", "Time limit reached", "\nDetected KeyboardInterrupt", "💡 Tip"),
    *("SLURM auto-requeueing", "Received SIGTERM", "Bypassing SIGTERM"),
)
"""First words of Lightning's messages that are hidden, because the package logs the same."""
INTERRUPTED = "stopped by Ctrl-C, without saving"
MEMORY = {
    "data.batch_size": "lower",
    "data.crop_size": "lower, with data.load_size",
    "model.generator.width": "lower",
    "model.generator.activation_checkpointing": "true",
    "trainer.precision": "bf16-mixed",
    "data.num_workers": "lower, for the computer's memory",
}
"""Keys on which a run's memory depends most, and values that need less."""


# ---------------------------------------------------------------------------------------------- the run


def train(config: DictConfig) -> pl.Trainer:
    """Run one training from a composed configuration to its end, in `config.run_dir`.

    Files in the folder change only after all parts of the run are built and its data are found.

    Raises:
        RunError: the folder already holds a run or is in use, the checkpoint to resume does not exist or belongs to
            another configuration, or the parts do not fit together.
        StopRequestedError: the run was asked to stop by a signal, saved, and can be resumed.
        SavingError: no checkpoint could be written several times in a row, or at the end.
    """
    settle_rank(config.trainer)
    with held(Path(config.run_dir)):
        return _train(config)


def _train(config: DictConfig) -> pl.Trainer:
    import pytorch_lightning as pl
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    from cyclegan.checkpoint.writing import remove_unfinished
    from cyclegan.train.assembly import assemble_trainer, hand_over_clipping, refuse_unsuitable
    from cyclegan.train.init_from import initialise
    from cyclegan.train.precision import default_precision
    from cyclegan.train.resume import name_wandb_run, require_same_run, starting_point

    check_values(config)
    if is_profiled(config):
        config = without_epochs(config)
    run_dir = Path(config.run_dir)
    claim(run_dir, config.resume, config.overwrite)
    start = starting_point(run_dir, config.resume)
    name_wandb_run(config, start)
    if chooses_precision := config.trainer.precision is None:
        before = start.content["config"] if start else None
        config.trainer.precision = default_precision(config.trainer.accelerator, before)
    try:
        plain = cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error

    pl.seed_everything(config.seed, verbose=False)
    data = hydra.utils.instantiate(config.data, _convert_="all")
    model = hydra.utils.instantiate(config.model, _convert_="all")  # OmegaConf containers would end up in checkpoints
    trainer = assemble_trainer(config, plain)
    refuse_unsuitable(data, model, trainer, start.path if start else None)
    hand_over_clipping(trainer, model)
    notes = []
    if start:
        notes = require_same_run(start, plain, model)
    elif config.init_from:
        notes = initialise(model, plain["init_from"])
    if chooses_precision and not start:
        notes.append(f"precision {trainer.precision}, chosen for this device; trainer.precision=... sets it")
    if trainer.is_global_zero:
        data.prepare_data()
        data.setup("fit")
        if config.overwrite and start is None:
            clear(run_dir)
        remove_unfinished(run_dir / "checkpoints")
        save_config(config, run_dir)
    for logger in trainer.loggers:
        logger.log_hyperparams(plain)
    _log_start(config, start, notes)
    steps_before = start.content["global_step"] if start else 0
    path, start = start.path if start else None, None  # fit reads the file again; free the memory
    try:
        trainer.fit(model, datamodule=data, ckpt_path=path, weights_only=True)
    except MisconfigurationException as error:
        raise RunError(str(error)) from error
    if path and trainer.global_step == steps_before and not trainer.should_stop:
        log.info("nothing left to do; to continue, raise trainer.max_epochs=%s", trainer.max_epochs)
    return trainer


def _log_start(config: DictConfig, start: StartingPoint | None, notes: list[str]) -> None:
    if HydraConfig.initialized():
        chosen = HydraConfig.get().runtime.choices.get("experiment")
        log.info("recipe    %s", f"experiment={chosen}" if chosen else "the paper's (no experiment=...)")
    if start:
        log.info("resume    from %s: %s images, %d epochs", start.path, f"{start.images:,}", start.epochs)
    elif config.init_from:
        log.info("weights   from %s", config.init_from)
    for note in notes:
        log.info("%s", note)
    planned, epochs = OmegaConf.select(config, "model.schedule.total_epochs"), config.trainer.max_epochs
    if planned not in (None, epochs):
        log.info("schedule  over total_epochs=%s, but the run has trainer.max_epochs=%s", planned, epochs)


# ---------------------------------------------------------------------------------------------- the command


def job(config: DictConfig) -> float | None:
    """Run what Hydra composed: one training in this process, or a job of a sweep in a process of its own.

    Returns:
        the objective of a job of a sweep.
    """
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from cyclegan.sweep.launch import run_task

        given = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        return run_task(cast("list[str]", given))
    run(config)
    return None


def run(config: DictConfig) -> None:
    """Train, log to the screen and to train.log, and end with the exit code of docs/resuming.md."""
    open_log(Path(config.run_dir))
    try:
        train(config)
    except StopRequestedError as stop:
        leave(f"{stop}; resume=auto continues from {stop.newest}", 0 if stop.finished else EXIT_RESUME)
    except SavingError as error:
        leave(str(error), EXIT_NOT_SAVED)
    except Exception as error:
        report(config, error)
        sys.exit(1)
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # Lightning exits so on Ctrl-C before the first batch
            leave(INTERRUPTED, EXIT_INTERRUPTED)
        raise
    if config.objective and is_first_process():
        metric, value = config.objective, config.objective_value
        log.info("objective %s %s: %s", metric, value, objective(Path(config.run_dir), metric, value))
    if any(Path(config.run_dir, "checkpoints").glob("*.ckpt")):
        run_dir = shlex.quote(config.run_dir)
        log.info("done      cyclegan-translate --checkpoint %s --input FOLDER --output FOLDER", run_dir)


def report(config: DictConfig, error: Exception) -> None:
    """Print an error that the user can fix in one line, and any other with its traceback; train.log has both."""
    run_dir = Path(config.run_dir)
    cause: BaseException | None = error
    while isinstance(cause, InstantiationException):  # Hydra's, around the error of a constructor
        cause = cause.__cause__
    trace = "".join(traceback.format_exception(error))
    line = None
    if is_out_of_memory(error):
        values = {key: OmegaConf.select(config, key) for key in MEMORY}
        listed = ", ".join(f"{key}={value} ({MEMORY[key]})" for key, value in values.items() if value is not None)
        line = f"out of memory; settings that need less: {listed} (traceback in {run_dir / 'train.log'})"
    elif isinstance(cause, UserError):
        line = str(cause)
    # A refused run leaves no trace in the folder, which may be that of another run.
    has_begun = (run_dir / "config.yaml").exists() and not isinstance(cause, RunError)
    if is_first_process() and (has_begun or line is None):
        run_dir.mkdir(parents=True, exist_ok=True)
        logging.getLogger("cyclegan.file").error("%s", trace)
    print(trace if line is None else f"{PROGRAM}: {line}", file=sys.stderr)


def leave(text: str, code: int) -> None:
    """End the process, and a whole sweep, of a run that ends in the same way on all devices."""
    if is_first_process():
        print(f"{PROGRAM}: {text}", file=sys.stderr)
    # Lightning would kill all processes if one that it started ended with an error.
    sys.exit(0 if added_by_lightning() else code)


def open_log(run_dir: Path) -> None:
    """Log to standard output and to train.log, which is created with its first line."""
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(logging.Formatter("%(message)s"))
    # backslashreplace: names of files may not be UTF-8
    file = logging.FileHandler(run_dir / "train.log", delay=True, encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"))
    logging.root.handlers = [console, file]  # before Lightning is imported, which else adds a handler of its own
    logging.root.setLevel(min(logging.root.level, logging.INFO))  # hydra.verbose has set DEBUG
    hidden = logging.getLogger("cyclegan.file")  # tracebacks that are not shown on the screen
    hidden.handlers, hidden.propagate = [file], False
    quieten()


def quieten() -> None:
    """Filter Lightning's messages that repeat the start-up lines, and set the level of the package's logger."""
    import warnings

    from pytorch_lightning.utilities.warnings import PossibleUserWarning

    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("pytorch_lightning", "lightning_fabric")):
            logging.getLogger(name).addFilter(lambda record: not record.getMessage().startswith(REPEATED))
    logging.getLogger("cyclegan").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", category=PossibleUserWarning)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)  # Lightning on newer torch
    # require_continuable decides which callbacks may change on a resume.
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint.*")


def main() -> None:
    """Run the command `cyclegan-train`."""
    open_screen()
    if "--version" in sys.argv[1:]:  # Hydra would answer with its own
        print(VERSION)
        return
    # Hydra then raises its errors instead of printing them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        config = frozen_config(sys.argv[1:])
        if config is not None:
            end_with_parent()
            run(config)
        else:
            sys.argv[1:] = hydra_arguments(sys.argv[1:])
            hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")(job)()
    except UserError as error:
        sys.exit(f"{PROGRAM}: {error}")
    except (HydraException, OmegaConfBaseException, OSError) as error:  # of the composition, or of making a folder
        sys.exit(f"{PROGRAM}: {explain(error)}")
    except KeyboardInterrupt:
        print(f"{PROGRAM}: {INTERRUPTED}", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
