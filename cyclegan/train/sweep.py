"""Compose and check all jobs of a sweep before the first one begins."""

import sys
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from cyclegan.errors import UserError
from cyclegan.train.configuration import explain
from cyclegan.train.signatures import check_values


class ComposedSweep(Callback):
    """Hydra callback that composes and checks the configurations of all jobs when a sweep starts.

    Hydra composes a job when it begins: a YAML file edited meanwhile would change the later jobs, and a mistake in the
    last value would show after hours.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Compose the jobs, and make Hydra's loader return them."""
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        if not config.hydra.sweeper._target_.endswith(f".{BasicSweeper.__name__}"):
            return  # other sweepers choose a job's values after the earlier jobs
        loader = GlobalHydra.instance().config_loader()
        overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(config.hydra.overrides.task))
        composed: dict[tuple[str, ...], DictConfig] = {}
        try:
            for job in BasicSweeper.split_arguments(overrides, None)[0]:
                composed[tuple(job)] = loader.load_sweep_config(config, job)
                check_values(composed[tuple(job)])
        except (UserError, HydraException, OmegaConfBaseException) as error:
            sys.exit(f"cyclegan-train: {explain(error)}")  # Hydra would turn other exceptions into warnings

        def composed_already(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
            return composed[tuple(sweep_overrides)].copy()

        loader.load_sweep_config = composed_already  # type: ignore[method-assign]
