"""Where the configuration lies, and what is wrong with one, in the user's terms."""

import difflib
import sys
from pathlib import Path
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException


def conf_dir() -> str:
    """The folder of YAML files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "conf"
    return str(inside if inside.is_dir() else Path(__file__).parents[1] / "conf")


def root_cause(error: BaseException) -> BaseException:
    """The error that the others wrap."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def explain(error: Exception) -> str:
    """The error's own message; for one of Hydra's, with the nearest key or option that exists."""
    if isinstance(error, InstantiationException):
        return str(root_cause(error))
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return str(error)
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read {error.override!r} as key=value; a value with special characters takes quotes of its own: "
            "'key=\"value\"'"
        )
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
        near = difflib.get_close_matches(key, known_keys(sys.argv[1:]) - {key}, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"there is no key {key!r}.{hint} See all: cyclegan-train --cfg job"
    return str(error)


def known_keys(words: list[str]) -> set[str]:
    """Every group, and every key that there is with the parts that the command line chooses."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    keys = {path.name for path in Path(conf_dir()).iterdir() if path.is_dir()}
    choices = [word for word in words if word.partition("=")[0] in keys and "," not in word]
    GlobalHydra.instance().clear()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", choices)

    def walk(node: Any, prefix: str) -> None:
        if isinstance(node, DictConfig):
            for key in map(str, node):
                keys.add(f"{prefix}{key}")
                walk(node._get_node(key), f"{prefix}{key}.")

    walk(config, "")
    return keys
