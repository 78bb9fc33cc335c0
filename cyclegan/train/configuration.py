"""The configuration's folder, the command line for Hydra, and messages for Hydra's errors."""

import argparse
import difflib
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from cyclegan.errors import UserError
from cyclegan.sweep.record import FOLLOWERS

EVERY = "callbacks.validation.every_n_epochs sets how often held-out images are evaluated"
UNUSED = {
    "check_val_every_n_epoch": ("1", EVERY),
    "val_check_interval": ("1.0", EVERY),
    "limit_val_batches": ("1.0", "callbacks.validation.max_images sets how many held-out images are evaluated"),
    "overfit_batches": ("0 0.0", "data.max_images sets how many training images of each domain are used"),
}
"""Arguments of Lightning's trainer that have no effect here: their defaults, and the key to use instead."""


def conf_dir() -> str:
    """Return the folder of YAML files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return str(inside if inside.is_dir() else Path(__file__).parents[2] / "conf")


def groups() -> set[str]:
    """Return the names of the groups: the folders of `conf_dir`, except Hydra's own."""
    return {path.name for path in Path(conf_dir()).iterdir() if path.is_dir()} - {"hydra"}


def explain(error: Exception) -> str:
    """Return an error's message in one line; for Hydra's errors, with the nearest existing key or option."""
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r} as key=value"
    message = str(error).partition("\n")[0]
    if message.endswith("requires --multirun") or message.startswith("Ambiguous value for argument"):
        key, _, value = message.partition("'")[2].rpartition("'")[0].partition("=")
        return f"{key}={value} is a sweep: add -m; or, if the comma belongs to the value, quote it: '{key}=\"{value}\"'"
    if "does not support sweep type" in message:  # Hydra's grid
        return "a grid cannot sweep interval(...): list its values, or search with hydra/sweeper=optuna or random"
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
        if "already" in message:
            return f"there is a key {key!r} already: set it without the plus, {key}=..."
        if (name := key.removeprefix("trainer.")) in UNUSED:
            return f"{key} is not used here: {UNUSED[name][1]}"
        near = nearest_keys(key, known_keys(sys.argv[1:]) - {key})
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"there is no key {key!r}.{hint} See all: cyclegan-train --cfg job"
    return str(error)


def frozen_config(words: list[str]) -> DictConfig | None:
    """Read the configuration that `--config FILE` names, with the keys that follow it; None without `--config`.

    Keys that take the value of another key by default follow it: `seed=1` is also the seed of the model and the data. A
    run with another name or folder than the file's is a new run, in wandb too. The file's `resume` and `overwrite`
    were those of a command, and do not count.

    Raises:
        UserError: the file is not that of a run, or lacks a key.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    known, keys = parser.parse_known_args(words)
    file = known.config
    if file is None:
        return None
    if not file.is_file():
        raise UserError(f"--config {file}: there is no such file; it takes the config.yaml of a run's folder")
    config = OmegaConf.load(file)
    if not isinstance(config, DictConfig) or not {"name", "run_dir", "resume", "overwrite"} <= config.keys():
        raise UserError(f"--config {file}: not the config.yaml of a run's folder")
    config.resume, config.overwrite = None, False
    old_name, old_folder = config.name, config.run_dir
    _follow(config)
    for word in keys:
        key, equals, _ = word.partition("=")
        if not equals or word.startswith(("-", "+", "~")):
            raise UserError(f"{word!r}: only key=value can follow --config FILE, for keys of the file")
        if key not in keys_of(config):
            near = nearest_keys(key, keys_of(config))
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise UserError(f"there is no key {key!r} in {file}.{hint}")
        config.merge_with_dotlist([word])
    if config.name != old_name and config.run_dir == old_folder:
        config.run_dir = f"runs/{config.name}"
    if (config.run_dir != old_folder or config.overwrite) and OmegaConf.select(config, "logger.wandb.id"):
        config.logger.wandb.id = None
    return config


def _follow(config: DictConfig) -> None:
    """Replace values by the interpolations that they had before the configuration was resolved."""
    for key, leader in FOLLOWERS.items():
        if (value := OmegaConf.select(config, key)) is not None and value == OmegaConf.select(config, leader):
            OmegaConf.update(config, key, f"${{{leader}}}")
    for part in [*(config.get("callbacks") or {}).values(), *(config.get("logger") or {}).values()]:
        for key, value in part.items():
            if value == config.run_dir:
                part[key] = "${run_dir}"
            elif key == "name" and value == config.name:
                part[key] = "${name}"


OPTIONS_WITH_VALUE = (
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--package", "-p"),
    *("--cfg", "-c", "--info", "-i", "--experimental-rerun"),
)


def hydra_arguments(words: Iterable[str]) -> list[str]:
    """Rewrite a command line for Hydra.

    Moves options, which Hydra does not take between keys, to the front. Quotes values that Hydra's grammar refuses,
    such as paths with blanks, brackets or `=`. Adds `experiment=toy` if there is no key.
    """
    options, keys = [], []
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            options += [word, *(islice(rest, 1) if word in OPTIONS_WITH_VALUE else ())]
        else:
            keys.append(_quoted_if_refused(word))
    return [*options, *(keys or ["experiment=toy"])]


def _quoted_if_refused(word: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Quote, QuotedString

    key, equals, value = word.partition("=")
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        if equals and not key.startswith("~"):
            return f"{key}={QuotedString(value, Quote.single).with_quotes()}"
    return word


def nearest_keys(key: str, known: set[str]) -> list[str]:
    """Return the likely meanings of a mistyped key: keys with the same last part, else the nearest spelling."""
    last = key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == last]
    if 1 <= len(same) <= 3:
        return sorted(same, key=lambda name: (name.count("."), name))
    return difflib.get_close_matches(key, known, n=1, cutoff=0.5)


def known_keys(words: list[str]) -> set[str]:
    """Return the groups, and the keys of the configuration that the command line's groups compose."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    chosen = groups()
    choices = [word for word in words if word.partition("=")[0] in chosen and "," not in word]
    GlobalHydra.instance().clear()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return chosen | keys_of(compose("train", choices))


def keys_of(config: DictConfig) -> set[str]:
    """Return all keys of a configuration, also those that hold others."""
    keys = set()

    def walk(node: Any, prefix: str) -> None:
        if isinstance(node, DictConfig):
            for key in map(str, node):
                keys.add(f"{prefix}{key}")
                walk(node._get_node(key), f"{prefix}{key}.")

    walk(config, "")
    return keys
