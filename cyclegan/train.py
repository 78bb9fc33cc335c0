"""cyclegan-train: trains what the configuration describes."""

from __future__ import annotations

import difflib
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

# torch and Lightning are imported where they are used: --help and --cfg job answer without them.
if TYPE_CHECKING:
    import pytorch_lightning as pl

log = logging.getLogger(__name__)

PROGRAM = "cyclegan-train"


def conf_dir() -> str:
    """The folder of YAML files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "conf"
    return str(inside if inside.is_dir() else Path(__file__).parents[1] / "conf")


class RunError(ValueError):
    """A run that cannot begin as asked; the text says why and what to do."""


# ---------------------------------------------------------------------------------------------- the run


def train(config: DictConfig) -> pl.Trainer:
    """Runs one training from a composed configuration to its end, in `config.run_dir`.

    Raises:
        RunError: the folder holds a run already, or there is nothing to resume.
    """
    import pytorch_lightning as pl

    run_dir = Path(config.run_dir)
    resume = claim(run_dir, config.resume, config.overwrite)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]

    pl.seed_everything(config.seed, verbose=False)
    data = hydra.utils.instantiate(config.data)
    model = hydra.utils.instantiate(config.model)
    trainer = assemble_trainer(config, plain)
    refuse_unsuitable(data, model, trainer)
    if config.init_from:
        initialise(model, config.init_from)
    if trainer.is_global_zero:
        # Lightning does both again in fit, but after the loggers have begun: a wrong folder is found before.
        data.prepare_data()
        data.setup("fit")
        save_config(config, run_dir)
    for logger in trainer.loggers:
        logger.log_hyperparams(plain)
    trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    return trainer


def assemble_trainer(config: DictConfig, plain: dict[str, Any]) -> pl.Trainer:
    """Lightning's trainer with the configured loggers and callbacks, and this project's checkpoints."""
    from cyclegan.checkpoint import AtomicCheckpointIO, EmbedConfig

    loggers = [hydra.utils.instantiate(entry) for entry in (config.logger or {}).values()]
    callbacks = [hydra.utils.instantiate(entry) for entry in (config.callbacks or {}).values()]
    trainer: pl.Trainer = hydra.utils.instantiate(
        config.trainer,
        logger=loggers,
        callbacks=[*callbacks, EmbedConfig(plain)],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=config.run_dir,
    )
    return trainer


def claim(run_dir: Path, resume: str | None, overwrite: bool) -> Path | None:
    """Settles what happens to a folder that may hold a run, before anything is written to it.

    Returns:
        the checkpoint to go on from, or None for a new run.

    Raises:
        RunError: the folder holds a run and neither resume nor overwrite was asked for, or there is no such
            checkpoint.
    """
    import shutil

    last = run_dir / "checkpoints" / "last.ckpt"
    holds_run = (run_dir / "metrics.csv").exists() or any((run_dir / "checkpoints").glob("*.ckpt"))
    if resume == "auto":
        if last.exists():
            return last
        log.info("resume=auto: no %s yet, so this is a new run", last)
        return None
    if resume:
        if not Path(resume).is_file():
            raise RunError(f"resume={resume}: there is no such file. resume=auto takes {last}, if it exists")
        return Path(resume)
    if holds_run and not is_first_process():
        return None  # made by the first process of this very run
    if holds_run and overwrite:
        for name in ("checkpoints", "samples", "wandb", "tensorboard"):
            shutil.rmtree(run_dir / name, ignore_errors=True)
        for name in ("config.yaml", "metrics.csv"):
            (run_dir / name).unlink(missing_ok=True)
    elif holds_run:
        raise RunError(
            f"{run_dir} already holds a run. Go on with it (resume=auto), start it again from nothing "
            "(overwrite=true), or give this one another name (name=...)"
        )
    return None


def is_first_process() -> bool:
    """Whether this is the process that the user started, not one that Lightning added for another device."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"))


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
            f"a sweep (-m) on {trainer.world_size} devices is refused: the processes that Lightning starts for the "
            "other devices would each run the whole sweep again, with other values. Sweep with trainer.devices=1, "
            "or start the jobs one by one without -m"
        )


def initialise(model: Any, path: str) -> None:
    """Takes the weights, and only those, of an earlier run."""
    from cyclegan import checkpoint

    model.load_state_dict(checkpoint.read(path)["state_dict"])
    log.info("weights   from %s", path)


def save_config(config: DictConfig, run_dir: Path) -> None:
    """Writes config.yaml: the resolved configuration under the command that made it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    command = " ".join(["cyclegan-train", *sys.argv[1:]])
    (run_dir / "config.yaml").write_text(f"# {command}\n{OmegaConf.to_yaml(config, resolve=True)}")


# ---------------------------------------------------------------------------------------------- the command


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
def job(config: DictConfig) -> None:
    """One job of the command line: the only one, or one of a sweep."""
    quieten()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        # Each job of a sweep has a folder below that of the sweep.
        config.run_dir = HydraConfig.get().runtime.output_dir
    try:
        train(config)
    except Exception:
        if is_first_process() and (Path(config.run_dir) / "config.yaml").exists():
            logging.getLogger("cyclegan.file").debug("%s", traceback.format_exc())
        raise
    last = Path(config.run_dir) / "checkpoints" / "last.ckpt"
    if is_first_process() and last.exists():
        log.info("done      cyclegan-translate --checkpoint %s --input FOLDER --output FOLDER", last)


def quieten() -> None:
    """Keeps Lightning from repeating what the start-up lines say."""
    import warnings

    from pytorch_lightning.utilities.warnings import PossibleUserWarning

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=PossibleUserWarning)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)  # Lightning on newer torch


def main() -> None:
    """The console script."""
    # Hydra then raises instead of printing, and the error can be put into the user's terms here.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        job()
    except (HydraException, OmegaConfBaseException) as error:
        cause = root_cause(error)
        sys.exit(f"{PROGRAM}: {cause if isinstance(error, InstantiationException) else explain(error)}")
    except ValueError as error:
        sys.exit(f"{PROGRAM}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{PROGRAM}: stopped by hand; go on with resume=auto")


def root_cause(error: BaseException) -> BaseException:
    """The error that the others wrap."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def explain(error: Exception) -> str:
    """Hydra's message, and the nearest key or option that exists."""
    message = str(error).splitlines()[0]
    if "Missing mandatory value" in message:
        full_key = getattr(error, "full_key", None)
        key = full_key if full_key and "interpolation" not in message else message.rpartition(" ")[2]
        return f"{key} has no default: give it on the command line, {key}=..."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        options = list(error.options or [])
        near = difflib.get_close_matches(option, options, n=1)
        hint = f" Did you mean {group}={near[0]}?" if near else ""
        return f"there is no {group}={option}.{hint} There are: {', '.join(sorted(options))}"
    if isinstance(error, ConfigCompositionException):
        key = message.partition("'")[2].partition("'")[0]
        near = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"there is no key {key!r}.{hint} See all: cyclegan-train --cfg job"
    return str(error)


def known_keys() -> list[str]:
    """Every key and group of the configuration as it stands without command line."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train")
    keys = [path.name for path in Path(conf_dir()).iterdir() if path.is_dir()]

    def walk(node: Any, prefix: str) -> None:
        if isinstance(node, DictConfig):
            for key in node:
                keys.append(f"{prefix}{key}")
                walk(node._get_node(key), f"{prefix}{key}.")

    walk(config, "")
    return keys


if __name__ == "__main__":
    main()
