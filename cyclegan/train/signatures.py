"""Check the values of a configuration against the type hints of the arguments that they become."""

import inspect
import os
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import DictConfig, OmegaConf

from cyclegan.checkpoint.targets import calls
from cyclegan.errors import UserError
from cyclegan.train.configuration import groups

RUN_KEYS = {
    "name": str,
    "group": str | None,
    "seed": int,
    "run_dir": str,
    "resume": str | None,
    "overwrite": bool,
    "init_from": str | Mapping[str, str] | None,
    "objective": str | None,
    "objective_value": Literal["best", "last"],
}
"""Types of the run's own keys; every other key is an argument of the class above it."""

PARTS = {"model", "data", "trainer", "callbacks", "logger"}
"""Groups whose keys stand under the group's own name; files of the others begin with `# @package`."""

WORDS = {"yes": True, "on": True, "no": False, "off": False}
SCALARS = (bool, int, float, str, Path, type(None))
LISTS = (list, tuple, Iterable, Collection, Sequence)
MAPPINGS = (dict, Mapping)


def check_values(config: DictConfig) -> None:
    """Check every value of a composed configuration before any part is built.

    The words yes, no, on and off become true and false where an argument is a bool.

    Raises:
        UserError: a value has the wrong type, a `_target_` does not exist or does not take the argument, or a group's
            file lacks its `# @package` line.
    """
    for group in groups() - PARTS:
        if group in config:
            raise UserError(f"the chosen file of {group} lacks its first line # @package, as in conf/{group}/*.yaml")
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    _check(config, "", plain, RUN_KEYS)
    for key in ("name", "run_dir"):
        if not plain[key].strip():
            raise UserError(f"{key} is empty; it names the folder of the run")
    if not 0 <= plain["seed"] < 2**32:
        raise UserError(f"seed is {plain['seed']}; it is an integer from 0 to {2**32 - 1}")
    plain.pop("hydra", None)
    for name, value in plain.items():
        for place, call, called in calls(value, str(name)):
            _check(config, f"{place}.", call, _hints(called))


def _hints(called: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(called.__init__ if inspect.isclass(called) else called)
    except (NameError, TypeError, AttributeError):  # names of `if TYPE_CHECKING`, or no annotations at all
        return {}


def _check(config: DictConfig, prefix: str, values: Mapping[Any, Any], hints: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in hints or fits(value, hints[name]):
            continue
        kinds = _alternatives(hints[name])
        if bool in kinds and str(value).lower() in WORDS:
            OmegaConf.update(config, f"{prefix}{name}", WORDS[value.lower()])
            continue
        expected = " or ".join("null" if kind is type(None) else inspect.formatannotation(kind) for kind in kinds)
        quoted = f". Quote it: {prefix}{name}=\"'{value}'\"" if str in kinds and type(value) in (int, float) else ""
        raise UserError(f"{prefix}{name} is {value!r}; it takes {expected}{quoted}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def fits(value: Any, hint: Any) -> bool:
    """Return whether a plain value can become an argument with this type hint."""
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return kind not in SCALARS  # its own class checks it
    if kind is Any or isinstance(kind, typing.TypeVar | str):
        return True
    if isinstance(value, str) and (value == "???" or "${" in value):
        return True  # missing, or checked where the value is written
    if kind in (Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if kind is Literal:
        return value in arguments
    if kind is float:
        return type(value) in (int, float)
    if kind in (Path, os.PathLike):
        return isinstance(value, str)
    if isinstance(value, list) and kind in LISTS:
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            return len(value) == len(arguments) and all(map(fits, value, arguments))
        return not arguments or all(fits(one, arguments[0]) for one in value)
    if isinstance(value, Mapping) and kind in MAPPINGS:
        return not arguments or all(fits(one, arguments[1]) for one in value.values())
    if isinstance(value, list | Mapping):
        return kind not in (*SCALARS, *LISTS, *MAPPINGS)  # a class of the user's
    return type(value) is kind
