"""Check the values of a configuration against the annotations of the arguments that they become."""

import contextlib
import difflib
import inspect
import os
import pkgutil
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import BooleanNode, DictConfig, OmegaConf
from omegaconf.errors import ValidationError

from cyclegan.errors import UserError

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
}
LISTS = (list, tuple, Iterable, Collection, Sequence)
MAPPINGS = (dict, Mapping)


@dataclass
class RunKeys:
    """The keys that belong to the run itself; every other key is an argument of the class above it."""

    name: str
    group: str | None
    seed: int
    run_dir: str
    resume: str | None
    overwrite: bool
    init_from: str | Mapping[str, str] | None


def check_values(config: DictConfig) -> None:
    """Check every value of a composed configuration before anything is built of it.

    The words yes, no, on and off become true and false where an argument is a bool.

    Raises:
        UserError: a value has the wrong type, a `_target_` does not exist, or does not take the argument.
    """
    _check_arguments(config, "", typing.get_type_hints(RunKeys))
    for key in ("name", "run_dir"):
        if not OmegaConf.is_interpolation(config, key) and not str(config[key]).strip():
            raise UserError(f"{key} is empty; it names the folder of the run")
    for name in config:
        if name != "hydra":
            _walk(config, name, str(name))


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
    """Annotations of the arguments that a `_target_` takes, of those that `node` gives.

    Raises:
        UserError: there is no such target, or it does not take one of the arguments.
    """
    target = str(node["_target_"])
    try:
        called = pkgutil.resolve_name(target)
    except ModuleNotFoundError as error:
        if not f"{target}.".startswith(f"{error.name}."):
            raise  # a module that the target's own module imports
        raise UserError(f"{path}._target_ is {target}: there is no module {error.name}") from error
    except AttributeError as error:
        raise UserError(f"{path}._target_ is {target}: {error}") from error
    try:
        taken = inspect.signature(called).parameters
    except ValueError:  # a function of C
        return {}
    given = [str(name) for name in node if not str(name).startswith("_")]
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        for name in given:
            if name not in taken:
                near = difflib.get_close_matches(name, taken, n=1)
                hint = f" Did you mean {path}.{near[0]}?" if near else ""
                raise UserError(f"{target} takes no argument {name} ({path}.{name}).{hint} It takes {', '.join(taken)}")
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
    """The message about a value that does not fit; of a mapping, about its first entry that does not."""
    for one in _alternatives(annotation):
        if isinstance(value, Mapping) and get_origin(one) in MAPPINGS:
            name = next(name for name in value if not _fits(value[name], get_args(one)[1]))
            return _misfit(f"{path}.{name}", value[name], get_args(one)[1])
    return f"{path} is {value!r}; it takes {_in_words(annotation)}"


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a plain value can become an argument with this annotation."""
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
    """Annotations of the elements of a list of this length."""
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
