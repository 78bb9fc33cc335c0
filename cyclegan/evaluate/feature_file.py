"""A feature network described by a YAML file of the user, which is trusted like code."""

from pathlib import Path

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from yaml import YAMLError

from cyclegan.errors import InputError
from cyclegan.metrics.feature_network import AnyNetwork, FeatureNetwork


def features_from(file: Path) -> FeatureNetwork:
    """Build the feature network, or the nn.Module, that a YAML file describes as `_target_` and arguments.

    Raises:
        InputError: the file is missing, describes something else, or its call fails.
    """
    if not file.is_file():
        raise InputError(f"--features {file} is none of inception, random and none, and no YAML file")
    try:
        config = OmegaConf.load(file)
        # A file of the configuration group `features` has the call under that key.
        inner = config.get("features", config) if isinstance(config, DictConfig) else config
        made = hydra.utils.instantiate(inner, _convert_="all")
    except InstantiationException as error:
        raise InputError(f"--features {file} cannot be used: {_reason(error)}") from error
    except (YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"--features {file} cannot be used: {error}") from error
    if isinstance(made, nn.Module):
        return AnyNetwork(made, size=None)
    if not isinstance(made, FeatureNetwork):
        raise InputError(
            f"--features {file} describes a {type(made).__name__}; _target_ has to name an nn.Module or a "
            "cyclegan.metrics.feature_network.FeatureNetwork"
        )
    return made


def _reason(error: InstantiationException) -> str:
    # Hydra's own text leaves out the cause.
    what = str(error).splitlines()[0].partition(", set env var")[0].rstrip(":")
    cause = error.__cause__
    if cause is None:
        return what
    is_import = "locating" in what
    if is_import and cause.__cause__ is not None:
        cause = cause.__cause__
    remedy = ". Is its folder on PYTHONPATH?" if is_import else ""
    return f"{what}: {type(cause).__name__}: {cause}{remedy}"
