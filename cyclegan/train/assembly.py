"""Build Lightning's trainer from a configuration, and check that the parts of a run fit together."""

from pathlib import Path
from typing import Any

import hydra.utils
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from cyclegan.callbacks.compilation import Compilation
from cyclegan.callbacks.heartbeat import Heartbeat
from cyclegan.callbacks.run_state import RunState
from cyclegan.checkpoint.writing import AtomicCheckpointIO
from cyclegan.data.training_data import missing_members
from cyclegan.errors import RunError
from cyclegan.networks.checks import nearest_size
from cyclegan.train.configuration import UNUSED
from cyclegan.train.run_folder import is_alone


def assemble_trainer(config: DictConfig, plain: dict[str, Any]) -> pl.Trainer:
    """Build Lightning's trainer with the configured loggers and callbacks, and atomic checkpoints.

    Checkpoints carry `plain`, which is the resolved configuration.

    Raises:
        RunError: the trainer has an argument of Lightning's own validation, or one that Lightning refuses.
    """
    for name, (defaults, instead) in UNUSED.items():
        value = plain["trainer"].get(name)
        if str(value) not in ("None", *defaults.split()):  # as text: 1 is one batch, 1.0 are all
            raise RunError(f"trainer.{name} is {value}, which is not used here: {instead}. Leave trainer.{name} out")
    loggers = [hydra.utils.instantiate(entry, _convert_="all") for entry in (config.logger or {}).values()]
    with torch.random.fork_rng(devices=[]):  # a feature network may draw its weights
        callbacks = [hydra.utils.instantiate(entry, _convert_="all") for entry in (config.callbacks or {}).values()]
    # A run in one process ignores the ranks of SLURM or torchrun.
    environment = [LightningEnvironment()] if is_alone(config.trainer) else []
    benchmark = config.trainer.get("benchmark")
    try:
        trainer: pl.Trainer = hydra.utils.instantiate(
            config.trainer,
            benchmark=not config.trainer.get("deterministic") if benchmark is None else benchmark,
            logger=loggers,
            callbacks=[*callbacks, RunState(plain), Heartbeat(), Compilation()],
            plugins=[AtomicCheckpointIO(), *environment],
            default_root_dir=config.run_dir,
            _convert_="all",  # max_time may be a mapping, which Lightning wants plain
        )
    except InstantiationException as error:
        if isinstance(error.__cause__, TypeError | ValueError | MisconfigurationException):  # refused by Lightning
            raise RunError(f"trainer: {error.__cause__}") from error
        raise
    return trainer


def hand_over_clipping(trainer: pl.Trainer, model: Any) -> None:
    """Let a method that takes turns clip its gradients itself, as Lightning refuses to do so for it."""
    if not model.automatic_optimization:
        model.gradient_clipping = (trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
        trainer.gradient_clip_val = None


def refuse_unsuitable(data: Any, model: Any, trainer: pl.Trainer, resume: Path | None) -> None:
    """Check before the first batch that data, networks and trainer fit together.

    Raises:
        RunError: the data module lacks a method, the channels or the crop do not suit the networks, batches are
            too small for the method, a sweep uses several devices, or a resumed run is bounded by `max_steps`.
    """
    if missing := missing_members(data):
        raise RunError(
            f"data._target_ is {type(data).__name__}, which lacks {', '.join(missing)}: training needs what "
            "cyclegan.data.training_data.TrainingData lists"
        )
    if data.channels != model.channels:
        raise RunError(
            f"data.domains gives images {data.channels} channels, and model.channels is {model.channels}: leave "
            "model.channels out, it follows data.domains.NAME.channels"
        )
    multiple, minimum, crop = model.size_multiple, model.minimum_crop, data.crop_size
    if crop is None:
        if data.size_multiple % multiple:
            raise RunError(
                f"with data.crop_size=null, whole images are cut to multiples of {data.size_multiple}, but these "
                f"networks take multiples of {multiple}: set data.size_multiple={multiple}"
            )
    elif crop % multiple or crop < minimum:
        nearest = nearest_size(crop, minimum=minimum, multiple=multiple)
        raise RunError(
            f"data.crop_size is {crop}, but these networks take multiples of {multiple} from {minimum} on; the nearest "
            f"is data.crop_size={nearest}, with data.load_size={nearest} or more"
        )
    if data.batch_size < model.minimum_batch:
        raise RunError(
            f"data.batch_size is {data.batch_size}, but {type(model).__name__} compares statistics of a batch: set "
            f"data.batch_size={model.minimum_batch} or, better, far more"
        )
    if trainer.world_size > 1 and HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise RunError(
            f"a sweep (-m) trains on one device: on {trainer.world_size}, the processes that Lightning adds would each "
            "run the whole sweep again. Take trainer.devices=1, or start the jobs one by one without -m"
        )
    if not model.automatic_optimization and trainer.accumulate_grad_batches != 1:
        raise RunError(
            f"trainer.accumulate_grad_batches is {trainer.accumulate_grad_batches}, but {type(model).__name__} updates "
            "its players in turns, each on the whole batch: raise data.batch_size instead"
        )
    if resume and trainer.max_steps != -1:
        raise RunError(
            f"trainer.max_steps is {trainer.max_steps}: with it, Lightning ends the epoch that a resumed run is in "
            "after one batch. Bound the run by trainer.max_epochs or trainer.max_time"
        )
