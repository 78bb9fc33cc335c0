"""A run imports no library that it does not use."""

import builtins
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.faults import in_a_child

OPTIONAL = ("wandb", "imagecodecs", "tifffile", "jinja2", "torch_fidelity")


def test_a_run_without_wandb_and_report_trains_where_they_are_missing(tmp_path: Path) -> None:
    importing = builtins.__import__

    def checked(name: str, globals_: Any = None, *rest: Any, **more: Any) -> Any:
        root, importer = name.partition(".")[0], (globals_ or {}).get("__name__", "")
        # torchmetrics, which Lightning imports, imports torch-fidelity where it is installed.
        if root in OPTIONAL and (root != "torch_fidelity" or importer.startswith("cyclegan")):
            raise ModuleNotFoundError(f"{name} is blocked, and {importer} imports it")
        return importing(name, globals_, *rest, **more)

    def run() -> None:
        for name in [name for name in sys.modules if name.startswith(("cyclegan", "tests.tiny_run", *OPTIONAL))]:
            del sys.modules[name]
        builtins.__import__ = checked  # type: ignore[assignment]
        try:
            from cyclegan.train.command import train
            from tests.tiny_run import composed

            train(composed(tmp_path / "run", tmp_path / "toy", "logger=csv", "features=none"))
        except BaseException:
            (tmp_path / "error").write_text(traceback.format_exc())

    assert in_a_child(run) == 0
    assert not (tmp_path / "error").exists(), (tmp_path / "error").read_text()
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 3, "a grid at the start and after each epoch"
