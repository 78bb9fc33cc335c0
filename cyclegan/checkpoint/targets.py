"""Classes and functions that a configuration names by `_target_`: renamed ones, trusted ones, and their arguments."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from cyclegan import __version__
from cyclegan.errors import CheckpointError, UserError, missing

RENAMED = {
    "cyclegan.callbacks.meter.RunMeter": "cyclegan.callbacks.metrics_logger.MetricsLogger",
    "cyclegan.callbacks.startup.StartupReport": "cyclegan.callbacks.run_summary.RunSummary",
    "cyclegan.data.domain.Domain": "cyclegan.data.domains.Domain",
    "cyclegan.data.toy.draw": "cyclegan.datasets.toy.draw",
    "cyclegan.data.unpaired.UnpairedData": "cyclegan.data.datamodule.ImageDataModule",
}
"""Earlier names, as checkpoints hold them, and present ones. A class that moves gets a line here."""

NEEDED = {"pytorch_lightning.loggers.TensorBoardLogger": "tensorboard"}
"""Classes of other packages that are importable without a module that they need."""

TRUSTED_PACKAGES = ("cyclegan.methods", "cyclegan.networks", "cyclegan.losses", "cyclegan.optim")
TRUSTED_NAMES = tuple(f"torch.optim.{name}" for name in ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD"))


def with_present_names(value: Any) -> Any:
    """Replace every `_target_` of `RENAMED` in nested plain values."""
    if isinstance(value, dict):
        return {
            key: RENAMED.get(str(entry), entry) if key == "_target_" else with_present_names(entry)
            for key, entry in value.items()
        }
    return [with_present_names(entry) for entry in value] if isinstance(value, list) else value


def resolve(target: str, arguments: Iterable[str], place: str) -> Callable[..., Any]:
    """Import the class or function that a `_target_` names, and check the names of its keyword arguments.

    Args:
        target: the dotted name.
        arguments: names of keyword arguments.
        place: key of the call in the configuration.

    Raises:
        UserError: the target does not exist, has another name now, does not take one of the arguments, or needs a
            package that is not installed.
    """
    if target in RENAMED:
        raise UserError(f"{place}._target_ is {target}, which is called {RENAMED[target]} now")
    try:
        found: Callable[..., Any] = pkgutil.resolve_name(target)
    except ModuleNotFoundError as error:
        if not f"{target}.".startswith(f"{error.name}."):
            raise  # a module that the target's own module imports
        raise UserError(
            f"{place}._target_ is {target}: there is no module {error.name}. Install it, or put its folder on "
            "PYTHONPATH"
        ) from error
    except (AttributeError, ValueError) as error:
        if target.startswith("cyclegan.") and (package := _missing_package(target)):
            raise UserError(f"{place} needs {missing(package)}, or leave {place} out") from error
        raise UserError(f"{place}._target_ is {target}: {error}") from error
    if (package := NEEDED.get(target)) and find_spec(package) is None:
        raise UserError(f"{place} needs {missing(package)}, or leave {place} out")
    try:
        taken = inspect.signature(found).parameters
    except ValueError:  # a function of C
        return found
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return found
    for name in arguments:
        if name not in taken:
            near = difflib.get_close_matches(name, taken, n=1)
            hint = f" Did you mean {place}.{near[0]}?" if near else ""
            raise UserError(f"{target} takes no argument {name} ({place}.{name}).{hint} It takes {', '.join(taken)}")
    return found


def _missing_package(target: str) -> str | None:
    try:
        importlib.import_module(target.rpartition(".")[0])
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        return None if package == "cyclegan" else package
    return None


def calls(value: Any, key: str) -> Iterator[tuple[str, dict[str, Any], Callable[..., Any]]]:
    """Yield the calls in nested plain values, each with its dotted key and what `resolve` returns for it."""
    if isinstance(value, dict) and "_target_" in value:
        arguments = [name for name in value if not name.startswith("_")]
        yield key, value, resolve(value["_target_"], arguments, key)
    if isinstance(value, dict | list):
        for name, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from calls(entry, f"{key}.{name}")


def require_trusted(
    config: Any, path: object, trust: Sequence[str] = (), place: str = "model", own: Sequence[str] = TRUSTED_PACKAGES
) -> None:
    """Refuse a configuration that would import or call anything but this package's parts and torch's optimizers.

    Args:
        config: a part of a checkpoint's configuration, as plain values.
        path: the checkpoint.
        trust: further packages that are allowed, with all that they contain.
        place: key of the part in the configuration.
        own: the packages and modules of cyclegan whose classes and functions are allowed.

    Raises:
        CheckpointError: an entry is not allowed; the message names it and the option that allows it.
    """
    for key, value in leaves(config, place):
        if isinstance(value, str) and "${" in value:
            raise CheckpointError(f"{path}: {key} is {value!r}; a checkpoint's configuration is plain, without ${{}}")
        if (
            key.rpartition(".")[2] in ("_target_", "path")
            and isinstance(value, str)
            and not _trusted(value, trust, own)
        ):
            raise CheckpointError(
                f"{path} was not loaded: its configuration calls {value!r} ({key}), which is not part of cyclegan "
                f"{__version__}. If you know who made the file, and that code, pass --trust {value.split('.')[0]}"
            )


def _trusted(target: str, trust: Sequence[str], own: Sequence[str]) -> bool:
    if target in TRUSTED_NAMES or target.partition(".")[0] in trust:
        return True
    module, _, name = target.rpartition(".")
    if not any(module == p or module.startswith(f"{p}.") for p in own):
        return False
    # The name must have been made where it is found: a module's own imports (its `os`) are not offered.
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return getattr(found, "__module__", None) == module


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the values in nested dictionaries and lists, each with its dotted name below `name`."""
    if isinstance(value, dict | list | tuple):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(entry, f"{name}.{key}")
    else:
        yield name, value
