"""Where the configuration lies, how the command line is written, and what is wrong with it, in the user's terms."""

import difflib
import re
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
        if "already" in message:
            return f"there is a key {key!r} already: set it without the plus, {key}=..."
        near = difflib.get_close_matches(key, known_keys(sys.argv[1:]) - {key}, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"there is no key {key!r}.{hint} See all: cyclegan-train --cfg job"
    return str(error)


PATH_WORD = re.compile(r"(resume|init_from)=(.*)", re.DOTALL)
MAPPING_ENTRY = re.compile(r"\s*(\w+)\s*:\s*([^{}]*?)\s*")
ESCAPE = re.compile(r"\\[\\()\[\]{}:=, \t]")


def quoted(words: list[str]) -> list[str]:
    """The command line with the paths of checkpoints so written that Hydra takes them.

    Hydra stumbles over `resume=runs/x/checkpoints/epoch=0010.ckpt`, among others. A value of `resume` or `init_from`
    that it would not read as the very same text is put between quotes. As they are stay null, what has quotes or
    backslashes of its own that Hydra understands, and all other words. In a mapping (`init_from={gen_ab: a.ckpt}`)
    each path is treated by itself, and so it is in a sweep, where a comma stands between them.
    """
    sweeps = not {"-m", "--multirun", "hydra.mode=MULTIRUN"}.isdisjoint(words)
    return [_with_quotes(word, sweeps) for word in words]


def _with_quotes(word: str, sweeps: bool) -> str:
    parts = PATH_WORD.fullmatch(word)
    if parts is None or _is_understood(word, sweeps):
        return word
    key, value = parts.groups()
    if value.startswith("{") and value.endswith("}"):
        entries = [MAPPING_ENTRY.fullmatch(entry) for entry in value[1:-1].split(",")]
        paths = [f"{entry[1]}: {_quote(entry[2])}" for entry in entries if entry]
        return f"{key}={{{', '.join(paths)}}}" if len(paths) == len(entries) else word
    return f"{key}={','.join(map(_quote, value.split(',') if sweeps else [value]))}"


def _is_understood(word: str, sweeps: bool) -> bool:
    """Whether Hydra reads the value as it stands there, or as something that was written for it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    text = word.partition("=")[2]
    if override.is_sweep_override():
        return sweeps or text[:1] in {"'", '"'}
    value = override.value()
    as_written = text[:1] in {"'", '"'} or ESCAPE.search(text) is not None
    return value is None or isinstance(value, dict) or value == text or as_written


def _quote(path: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    return path if _is_understood(f"resume={path}", sweeps=False) else QuotedString(path, Quote.single).with_quotes()


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
