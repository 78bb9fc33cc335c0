"""The configuration of a run that is only profiled."""

from omegaconf import DictConfig, OmegaConf, open_dict

PROFILER = "cyclegan.callbacks.batch_profiler.BatchProfiler"
NOT_OF_BATCHES = (
    "progress",  # which would estimate the time of the whole run
    *("image_grid", "validation", "image_table", "alarms", "early_stopping", "report"),
    "checkpointing",  # which would save where the profiler ends the run
)
"""Callbacks whose work is that of an epoch or of the whole run."""


def is_profiled(config: DictConfig) -> bool:
    """Return whether the run is one of `trainer=profile`."""
    return bool(OmegaConf.select(config, "trainer.profiler._target_") == PROFILER)


def without_epochs(config: DictConfig) -> DictConfig:
    """Return the configuration without the callbacks above, and with metrics.csv as the only logger.

    The table goes to the folder of the trace, so that the folder of the run does not count as that of a run.
    """
    profiled = config.copy()
    with open_dict(profiled):
        for name in NOT_OF_BATCHES:
            profiled.callbacks.pop(name, None)
        profiled.logger = {
            "csv": {"_target_": "cyclegan.loggers.metrics_csv.MetricsCsv", "run_dir": f"{config.run_dir}/profile"}
        }
    return profiled
