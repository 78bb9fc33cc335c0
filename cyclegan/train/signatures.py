"""Check the values of a configuration against the annotations of the arguments that they become."""

import contextlib
import inspect
import os
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import BooleanNode, DictConfig, OmegaConf
from omegaconf.errors import ValidationError

from cyclegan.checkpoint.targets import resolve
from cyclegan.errors import UserError
from cyclegan.train.configuration import conf_dir, groups

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
}
PARTS = {"model", "data", "trainer", "callbacks", "logger"}
"""Groups whose keys stand under the group's own name; files of the others begin with `# @package`."""
LISTS = (list, tuple, Iterable, Collection, Sequence)
MAPPINGS = (dict, Mapping)


@dataclass
class RunKeys:
    """The keys of the run itself, with their types; every other key is an argument of the class above it."""

    name: str
    group: str | None
    seed: int
    run_dir: str
    resume: str | None
    overwrite: bool
    init_from: str | Mapping[str, str] | None


def check_values(config: DictConfig) -> None:
    """Check every value of a composed configuration before any part is built.

    The words yes, no, on and off become true and false where an argument is a bool.

    Raises:
        UserError: a value has the wrong type, a `_target_` does not exist or does not take the argument, or a group's
            file lacks its `# @package` line.
    """
    for group in groups() - PARTS:
        if group in config:
            raise UserError(
                f"the chosen file of conf/{group} puts its keys under {group}: its first line has to be "
                f"{_package_line(group)}"
            )
    _check_arguments(config, "", typing.get_type_hints(RunKeys))
    for key in ("name", "run_dir"):
        if not OmegaConf.is_interpolation(config, key) and not str(config[key]).strip():
            raise UserError(f"{key} is empty; it names the folder of the run")
    for name in config:
        if name != "hydra":
            _walk(config, name, str(name))


def _package_line(group: str) -> str:
    """Return the first line of the group's files that come with this package."""
    return min(Path(conf_dir(), group).glob("*.yaml")).read_text(encoding="utf-8").partition("\n")[0]


def _walk(parent: Any, key: Any, path: str) -> None:
    if OmegaConf.is_missing(parent, key) or OmegaConf.is_interpolation(parent, key):
        return
    node = parent[key]
    if OmegaConf.is_list(node):
        for index in range(len(node)):
            _walk(node, index, f"{path}.{index}")
    elif OmegaConf.is_dict(node):
        if "_target_" in node:
            _check_arguments(node, f"{path}.", _annotations(node, path))
        for name in node:
            _walk(node, name, f"{path}.{name}")


def _annotations(node: DictConfig, path: str) -> dict[str, Any]:
    """Return the annotations of the arguments that `node` gives to its `_target_`."""
    given = [str(name) for name in node if not str(name).startswith("_")]
    called = resolve(str(node["_target_"]), given, path)
    try:
        hints = typing.get_type_hints(called.__init__ if inspect.isclass(called) else called)
    except (NameError, TypeError, AttributeError):  # names of `if TYPE_CHECKING`, or no annotations at all
        return {}
    return {name: hints[name] for name in given if name in hints}


def _check_arguments(node: DictConfig, prefix: str, annotations: Mapping[str, Any]) -> None:
    for name, annotation in annotations.items():
        if OmegaConf.is_missing(node, name) or OmegaConf.is_interpolation(node, name):
            continue  # an interpolation is checked where its value is written
        value = node[name]
        if bool in _alternatives(annotation) and isinstance(value, str) and not _fits(value, annotation):
            with contextlib.suppress(ValidationError):
                node[name] = value = BooleanNode(value)._value()
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if not _fits(plain, annotation):
            raise UserError(_misfit(f"{prefix}{name}", plain, annotation))


def _misfit(path: str, value: Any, annotation: Any) -> str:
    """Write the message about a value that does not fit; of a mapping, about its first entry that does not."""
    for one in _alternatives(annotation):
        if isinstance(value, Mapping) and get_origin(one) in MAPPINGS:
            name = next(name for name in value if not _fits(value[name], get_args(one)[1]))
            return _misfit(f"{path}.{name}", value[name], get_args(one)[1])
    quoted = (
        f". Quote it: {path}=\"'{value}'\"" if str in _alternatives(annotation) and type(value) in (int, float) else ""
    )
    return f"{path} is {value!r}; it takes {_in_words(annotation)}{quoted}"


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _fits(value: Any, annotation: Any) -> bool:
    """Return whether a plain value can become an argument with this annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(value, Mapping) and "_target_" in value:
        return annotation not in WORDS  # an object, which its own class answers for
    if annotation is Any or isinstance(annotation, typing.TypeVar | str) or (isinstance(value, str) and "${" in value):
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return value in arguments
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    kind = origin or annotation
    if kind in (Path, os.PathLike):
        return isinstance(value, str)
    if isinstance(value, list) and kind in LISTS:
        elements = _elements(kind, arguments, len(value))
        return len(elements) == len(value) and all(map(_fits, value, elements))
    if isinstance(value, Mapping) and kind in MAPPINGS:
        return all(_fits(one, arguments[1]) for one in value.values()) if len(arguments) == 2 else True
    if isinstance(value, list | Mapping):
        return kind not in (*WORDS, *LISTS, *MAPPINGS)
    return type(value) is kind  # no plain value is an object of any other class


def _elements(kind: type, arguments: tuple[Any, ...], length: int) -> tuple[Any, ...]:
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        return arguments
    return (arguments[0] if arguments else Any,) * length


def _in_words(annotation: Any) -> str:
    words = list(dict.fromkeys(_each_in_words(annotation)))
    if not words or words == ["null"]:
        words.insert(0, "an object with a _target_")
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _each_in_words(annotation: Any) -> Iterator[str]:
    for one in _alternatives(annotation):
        kind = get_origin(one) or one
        if kind is Literal:
            yield from map(str, get_args(one))
        elif one in WORDS:
            yield WORDS[one]
        elif kind in MAPPINGS:
            yield "a mapping"
        elif kind in LISTS:
            inner = [arg for arg in get_args(one) if arg is not Ellipsis]
            yield f"a list, each {_in_words(inner[0])}" if inner else "a list"
