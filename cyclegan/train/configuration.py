"""Where the configuration lies, how the command line is written, and what is wrong with it, in the user's terms."""

import difflib
import re
import sys
from pathlib import Path
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cyclegan.errors import UserError


def conf_dir() -> str:
    """The folder of YAML files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return str(inside if inside.is_dir() else Path(__file__).parents[2] / "conf")


def root_cause(error: BaseException) -> BaseException:
    """The error that the others wrap."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def explain(error: Exception) -> str:
    """The error's own message; for one of Hydra's, with the nearest key or option that exists."""
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return str(error)
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r} as key=value"
    message = str(error).splitlines()[0]
    if message.endswith("requires --multirun") or message.startswith("Ambiguous value for argument"):
        key, _, value = message.partition("'")[2].rpartition("'")[0].partition("=")
        return f"{key}={value} is a sweep: add -m; or, if the comma belongs to the value, quote it: '{key}=\"{value}\"'"
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
        near = nearest_keys(key, known_keys(sys.argv[1:]) - {key})
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"there is no key {key!r}.{hint} See all: cyclegan-train --cfg job"
    return str(error)


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain values.

    Raises:
        UserError: a value is missing, or refers to a key that does not exist.
    """
    try:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    return plain


TEXT_KEY = re.compile(
    r"\+{0,2}(name|group|run_dir|resume|init_from|data\.(root|cache_dir)|data\.domains\.[^.]+\.(train|val|test)"
    r"|logger\.\w+\.(project|name|group|entity|notes|job_type|id)|callbacks\.validation\.\w+\.weights)"
)
"""Keys whose values are text or paths, however they look: 1e5 is a name, and a comma may be part of a path."""

MAPPING_ENTRY = re.compile(r"\s*(\w+)\s*:\s*([^{}]*?)\s*")
ESCAPE = re.compile(r"\\[\\()\[\]{}:=, \t]")
MULTIRUN = ("-m", "--multirun", "hydra.mode=MULTIRUN")
TAKE_A_VALUE = ("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--package", "-p", "--cfg", "-c",
                "--info", "-i", "--experimental-rerun")  # fmt: skip


def hydra_words(words: list[str]) -> list[str]:
    """Rewrite the command line as typed so that Hydra reads it as it was meant.

    - Options come first, because Hydra does not take them between keys.
    - Without any key, `experiment=toy` is added.
    - Values that Hydra cannot read are quoted: blanks, brackets, other alphabets. The values of `TEXT_KEY` are quoted
      as well where Hydra would read a number, a list or a sweep. Values with quotes or backslashes of their own that
      Hydra understands stay as they are, and so does null. In a mapping (`init_from={gen_ab: a.ckpt}`) and in a sweep
      (`-m resume=a.ckpt,b.ckpt`), each path is quoted by itself.
    """
    options, keys = [], []
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            options.append(word)
            options += [value for value in [next(rest, None)] if value is not None] if word in TAKE_A_VALUE else []
        else:
            keys.append(word)
    sweeps = any(word in MULTIRUN for word in words)
    return [*options, *(_with_quotes(word, sweeps) for word in keys or ["experiment=toy"])]


def _with_quotes(word: str, sweeps: bool) -> str:
    key, equals, value = word.partition("=")
    if not equals or key.startswith("~") or _is_understood(key, value, sweeps):
        return word
    if not TEXT_KEY.fullmatch(key):
        return f"{key}={_quoted(value)}"
    if value.startswith("{") and value.endswith("}"):
        entries = [MAPPING_ENTRY.fullmatch(entry) for entry in value[1:-1].split(",")]
        paths = [f"{entry[1]}: {_if_needed(key, entry[2])}" for entry in entries if entry]
        return f"{key}={{{', '.join(paths)}}}" if len(paths) == len(entries) else word
    return f"{key}={','.join(_if_needed(key, part) for part in (value.split(',') if sweeps else [value]))}"


def _is_understood(key: str, value: str, sweeps: bool) -> bool:
    """Whether Hydra reads the value as it stands there, or as something that was written for it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        override = OverridesParser.create().parse_override(f"{key}={value}")
    except HydraException:
        return False
    if not TEXT_KEY.fullmatch(key):
        return True
    has_quotes = value[:1] in {"'", '"'}
    found = override.value()
    if override.is_sweep_override() and sweeps:
        return not any(isinstance(one, int | float) for one in getattr(found, "list", []))
    if override.is_sweep_override():  # an error that Hydra reports, unless there is such a file
        return has_quotes or not Path(value).expanduser().exists()
    return found is None or isinstance(found, dict) or found == value or has_quotes or bool(ESCAPE.search(value))


def _if_needed(key: str, value: str) -> str:
    return value if _is_understood(key, value, sweeps=False) else _quoted(value)


def _quoted(value: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(value, Quote.single).with_quotes()


def nearest_keys(key: str, known: set[str]) -> list[str]:
    """Return the keys that a mistyped one most likely stands for: the same last part first, then the same spelling."""
    last = key.rpartition(".")[2]
    same = sorted((name for name in known if name.rpartition(".")[2] == last), key=lambda name: (name.count("."), name))
    if same and len(same) <= 3:
        return same
    return difflib.get_close_matches(key, known, n=1, cutoff=0.5)


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
