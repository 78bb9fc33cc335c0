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

from cyclegan.configuration import conf_dir, explain
from cyclegan.run_folder import RunError, claim, clear, is_first_process, save_config

# torch and Lightning are imported where they are used: --help and --cfg job answer without them.
if TYPE_CHECKING:
    import pytorch_lightning as pl

log = logging.getLogger(__name__)

PROGRAM = "cyclegan-train"
EXPECTED = (ValueError, OSError, HydraException, OmegaConfBaseException)
"""Errors whose text is enough for the user; any other is a defect, and shown with its traceback."""


# ---------------------------------------------------------------------------------------------- the run


def train(config: DictConfig) -> pl.Trainer:
    """Runs one training from a composed configuration to its end, in `config.run_dir`.

    Nothing in the folder changes before everything that the configuration names is built and found.

    Raises:
        RunError: the folder holds a run already, there is nothing to resume, or the parts do not fit together.
    """
    import pytorch_lightning as pl
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    run_dir = Path(config.run_dir)
    resume = claim(run_dir, config.resume, config.overwrite)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]

    pl.seed_everything(config.seed, verbose=False)
    data = hydra.utils.instantiate(config.data)
    model = hydra.utils.instantiate(config.model)
    trainer = assemble_trainer(config, plain)
    refuse_unsuitable(data, model, trainer)
    if resume or config.init_from:
        # fit takes a resumed run's weights too, but only after its folder is touched and its loggers have begun.
        steps_before = initialise(model, resume or config.init_from)
    if trainer.is_global_zero:
        data.prepare_data()
        data.setup("fit")
        if config.overwrite and resume is None:
            clear(run_dir)
        save_config(config, run_dir)
    for logger in trainer.loggers:
        logger.log_hyperparams(plain)
    announce(config, resume)
    try:
        trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    except MisconfigurationException as error:  # such as fewer epochs than the resumed run has had
        raise RunError(str(error)) from error
    if resume and trainer.global_step == steps_before:
        log.info("nothing left to do; to go on, give more epochs than trainer.max_epochs=%s", trainer.max_epochs)
    return trainer


def assemble_trainer(config: DictConfig, plain: dict[str, Any]) -> pl.Trainer:
    """Lightning's trainer with the configured loggers and callbacks, and this project's checkpoints."""
    from cyclegan.checkpoint import AtomicCheckpointIO, EmbedConfig, RandomState

    loggers = [hydra.utils.instantiate(entry) for entry in (config.logger or {}).values()]
    callbacks = [hydra.utils.instantiate(entry) for entry in (config.callbacks or {}).values()]
    trainer: pl.Trainer = hydra.utils.instantiate(
        config.trainer,
        logger=loggers,
        callbacks=[*callbacks, EmbedConfig(plain), RandomState()],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=config.run_dir,
    )
    return trainer


def refuse_unsuitable(data: Any, model: Any, trainer: pl.Trainer) -> None:
    """Says before the first batch, in terms of the configuration, what would fail in it.

    Raises:
        RunError: the crop does not suit the networks, or a sweep asks for several devices.
    """
    multiple, minimum, crop = model.size_multiple, model.minimum_crop, data.crop_size
    if crop % multiple or crop < minimum:
        from cyclegan.networks.checks import nearest_size

        nearest = nearest_size(crop, minimum=minimum, multiple=multiple)
        raise RunError(
            f"data.crop_size is {crop}, but these networks take multiples of {multiple} from {minimum} on; the nearest "
            f"is data.crop_size={nearest}, with data.load_size={nearest} or more"
        )
    if trainer.world_size > 1 and HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise RunError(
            f"a sweep (-m) trains on one device: on {trainer.world_size}, the processes that Lightning adds would each "
            "run the whole sweep again. Take trainer.devices=1, or start the jobs one by one without -m"
        )


def initialise(model: Any, path: str | Path) -> int:
    """Takes the weights, and only those, of an earlier run.

    Returns:
        the steps that they have had.

    Raises:
        CheckpointError: the file cannot be read.
        RunError: its weights are those of other networks.
    """
    from cyclegan import checkpoint

    found = checkpoint.read(path)
    try:
        model.load_state_dict(found.get("state_dict", {}))
    except RuntimeError as error:
        raise RunError(
            f"the weights in {path} do not fit these networks: give the generator and discriminator of the run that "
            "wrote it, as its config.yaml names them"
        ) from error
    return int(found.get("global_step", 0))


def announce(config: DictConfig, resume: Path | None) -> None:
    """Says where the run begins, unless it is simply a new one."""
    if resume:
        log.info("resume    from %s", resume)
    elif config.resume == "auto":
        log.info("resume    nothing there yet, so this is a new run")
    if config.init_from and not resume:
        log.info("weights   from %s", config.init_from)


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
    except EXPECTED as error:
        text = f"{PROGRAM}: {explain(error)}{keep_traceback(config, error)}"
        if not sweeps:
            sys.exit(text)
        print(text, file=sys.stderr)
        raise  # Hydra goes on with the other jobs, and fails in the end
    except Exception as error:
        keep_traceback(config, error)
        raise
    except SystemExit as end:
        # Lightning's answer to Ctrl-C; in the processes of further devices, too.
        if is_first_process() and isinstance(end.__context__, KeyboardInterrupt):
            print(f"{PROGRAM}: stopped by hand; resume=auto goes on after the last whole epoch", file=sys.stderr)
        raise
    last = Path(config.run_dir) / "checkpoints" / "last.ckpt"
    if last.exists():
        log.info("done      cyclegan-translate --checkpoint %s --input FOLDER --output FOLDER", shlex.quote(str(last)))


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


def main() -> None:
    """The console script."""
    # Hydra then raises instead of printing, and the error can be put into the user's terms here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        job()
    except EXPECTED as error:
        sys.exit(f"{PROGRAM}: {explain(error)}")
    except KeyboardInterrupt:
        sys.exit(f"{PROGRAM}: stopped by hand")


if __name__ == "__main__":
    main()
