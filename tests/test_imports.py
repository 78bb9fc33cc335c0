"""What a run does not use, it does not import."""

import os
import subprocess
import sys
from pathlib import Path

OPTIONAL = ("wandb", "plotly", "jinja2", "torch_fidelity")

BLOCKED = f"""
import builtins, sys

importing = builtins.__import__

def checked(name, globals=None, *rest, **more):
    root, importer = name.partition(".")[0], (globals or {{}}).get("__name__", "")
    # torchmetrics, which Lightning imports, imports torch-fidelity where it is installed.
    if root in {OPTIONAL} and (root != "torch_fidelity" or importer.startswith("cyclegan")):
        raise ModuleNotFoundError(f"{{name}} is blocked, and {{importer}} imports it")
    return importing(name, globals, *rest, **more)

builtins.__import__ = checked
"""

TRAINING = """
from pathlib import Path
from cyclegan.train.command import train
from tests.tiny_run import composed

train(composed(Path("run"), Path("toy"), "logger=csv", "features=none"))
"""


def test_a_run_without_wandb_and_report_trains_where_they_are_missing(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + TRAINING],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},  # before site-packages, where others have a package called tests
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt"))[-1] == "last.ckpt"
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 3, "the grid of every epoch and of the start"
