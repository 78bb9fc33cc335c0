"""A training with wandb offline, read back from the file that wandb would upload."""

import hashlib
import json
import subprocess
from base64 import b64encode
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
import yaml

import cyclegan
from cyclegan.images import read
from cyclegan.images.tensors import to_pixels, to_tensor
from cyclegan.train.command import train
from tests.loggers.offline_run import OfflineRun, files, records
from tests.tiny_run import composed, metrics

JOB = ("group=sweep", "name='sweep/seed=1'", "logger.wandb.tags=['seed=1']", "logger.wandb.upload=[best,last]")
RUN_SETS = ("PL_GLOBAL_SEED", "WANDB_DATA_DIR", "WANDB_CACHE_DIR")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs, which wandb logged offline."""
    folder = tmp_path_factory.mktemp("offline")
    wandb.teardown()  # wandb reads the variables once per process
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cyclegan-train"])
        for name in RUN_SETS:
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(folder / "home"))
        train(composed(folder / "run", folder / "toy", "logger=default", "callbacks.checkpointing.best=psnr", *JOB))
        for name in RUN_SETS:
            patch.delenv(name)
    return folder / "run"


@pytest.fixture(scope="module")
def run(run_dir: Path) -> OfflineRun:
    (folder,) = (run_dir / "wandb").glob("offline-run-*")
    return OfflineRun(folder)


def test_group_name_job_type_and_tags(run: OfflineRun) -> None:
    found = run.run
    assert (found.run_group, found.display_name, found.job_type, list(found.tags)) == (
        "sweep", "sweep/seed=1", "train", ["seed=1"],
    )  # fmt: skip
    assert run.exit_code == 0


def test_the_configuration_the_version_of_the_code_and_no_path_of_it(run: OfflineRun, run_dir: Path) -> None:
    root = Path(cyclegan.__file__).parents[1]
    assert str(root) not in json.dumps(run.config)
    code = run.config.pop("cyclegan")
    assert code["version"] == cyclegan.__version__
    if (root / ".git").exists():
        head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        assert code["commit"].removesuffix("-dirty") == head.stdout.strip()
    del run.config["_wandb"]
    assert run.config == yaml.safe_load((run_dir / "config.yaml").read_text())


def test_best_values_leave_out_the_untrained_networks(run: OfflineRun, run_dir: Path) -> None:
    rows = [row for row in metrics(run_dir) if "val/psnr" in row]
    assert [row["images_seen"] for row in rows] == [0, 6, 12]
    for name, better in (("psnr", max), ("psnr_ab", max), ("cycle_a", min), ("l1", min)):
        values = [row[f"val/{name}"] for row in rows[1:]]
        assert run.curve(f"best/{name}") == list(zip((6, 12), accumulate(values, better), strict=True)), name
        assert run.axes[f"best/{name}"] == "images_seen"
        assert f"best/{name}" in run.hidden
    assert not [name for name in run.axes if name.startswith(("best/change", "best/psnr_copied", "best/d_"))]
    assert run.axes["*"] == "images_seen"


def tables(run_dir: Path) -> list[tuple[dict[str, Any], dict[str, Path]]]:
    """Content and files of the table of each validation."""
    (file,) = (run_dir / "wandb").glob("offline-run-*/*.wandb")
    found = [files(each.artifact) for each in records(file) if each.artifact.name.endswith("-translations")]
    return [(json.loads(each["translations.table.json"].read_text()), each) for each in found]


def test_the_table_holds_input_translation_reconstruction_and_ground_truth(run_dir: Path) -> None:
    translator = cyclegan.load(run_dir / "checkpoints" / "last.ckpt")
    content, images = tables(run_dir)[-1]
    assert content["columns"] == ["direction", "image", "input", "translation", "reconstruction", "ground truth"]
    cells = {
        (direction, name): [read(images[cell["path"]]) for cell in row] for direction, name, *row in content["data"]
    }
    assert list(cells) == [("A→B", "0000.png"), ("A→B", "0001.png"), ("B→A", "0000.png"), ("B→A", "0001.png")]
    for (direction, name), (real, fake, back, truth) in cells.items():
        source, target = direction.split("→")
        with torch.no_grad():
            expected = translator.translate(to_tensor(real)[None], source, target)
            again = translator.translate(expected, target, source)
        for shown, tensor in ((fake, expected), (back, again)):
            assert np.abs(shown.astype(int) - to_pixels(tensor[0])).max() <= 1
        assert real.dtype == np.uint8
        assert real.max() > 150, "not black, as floats of [0, 1] cast to bytes would be"
        assert np.array_equal(truth, cells[f"{target}→{source}", name][0]), "of the same name, so of the same scene"


def test_wandb_writes_to_the_folder_of_the_run_only(run_dir: Path) -> None:
    found = tables(run_dir)
    assert len(found) == 3, "one for each validation"
    for _, images in found:
        assert all(file.is_relative_to(run_dir / "wandb") for file in images.values())
    assert [path.name for path in run_dir.parent.iterdir()] == ["toy", "run"], "nothing in the home directory"


def test_the_artifact_is_the_whole_checkpoint(run: OfflineRun, run_dir: Path) -> None:
    (file,) = files(run.artifacts[f"model-{run.run.run_id}"]).values()
    (entry,) = run.artifacts[f"model-{run.run.run_id}"].manifest.contents
    assert file == run_dir / "checkpoints" / "last.ckpt", "not a copy"
    digest = hashlib.md5(file.read_bytes(), usedforsecurity=False).digest()
    assert (entry.path, entry.digest) == ("model.ckpt", b64encode(digest).decode())
    assert cyclegan.load(file).directions == (("A", "B"), ("B", "A"))
