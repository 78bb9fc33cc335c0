"""Training on a machine that lacks packages which only some parts need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cyclegan.datasets.toy import draw
from tests.command_line import measured

CHECKOUT = Path(__file__).parents[2]
WITHOUT_PACKAGES = """
import sys
from importlib import metadata

missing = {"wandb", "imagecodecs", "tifffile", "requests", "tensorboard", "torch_fidelity", "jinja2"}
from_name = metadata.Distribution.from_name

def unless_missing(name):
    if name.replace("-", "_") in missing:
        raise metadata.PackageNotFoundError(name)
    return from_name(name)

metadata.Distribution.from_name = unless_missing
sys.modules |= dict.fromkeys(missing)
from cyclegan.train.command import main
main()
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEG files, and a folder of PNG files of 16 bits beside theirs."""
    root = tmp_path_factory.mktemp("photos") / "toy"
    draw(root, train=5, test=2, size=24)
    for file in root.glob("*/*.png"):
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()
    (root / "deep").mkdir()
    for number in range(5):
        Image.new("I;16", (24, 24)).save(root / "deep" / f"{number}.png")
    (root / "toy.json").unlink()
    return root


def train_without_packages(folder: Path, photos: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGES, *measured("run", "data.source=null", f"data.root={photos}", *words)],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_jpeg_files_train_without_wandb_imagecodecs_and_torch_fidelity(tmp_path: Path, photos: Path) -> None:
    done = train_without_packages(tmp_path, photos)
    assert done.returncode == 0, done.stderr
    assert "epoch 2 of 2" in done.stdout
    assert (tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["logger=default"],
            "logger.wandb needs the package wandb, which is not installed: pip install wandb, or leave",
        ),
        (["logger=tensorboard"], "not installed: pip install 'cyclegan[tensorboard]', or leave logger.tensorboard out"),
        (
            ["+callbacks.report={_target_: cyclegan.callbacks.report.RunReport, run_dir: x}"],
            "callbacks.report needs the package jinja2, which is not installed: pip install jinja2, or leave",
        ),
        (["data.domains.A.train=deep"], ".png: reading it needs the package imagecodecs, which is not installed: pip"),
    ],
    ids=["wandb", "tensorboard", "report", "png of 16 bits"],
)
def test_a_part_that_lacks_its_package_is_named_in_one_line(
    tmp_path: Path, photos: Path, words: list[str], line: str
) -> None:
    done = train_without_packages(tmp_path, photos, *words)
    assert done.returncode == 1
    (message,) = done.stderr.splitlines()
    assert line in message


@pytest.mark.slow
def test_training_goes_on_without_inception_features(tmp_path: Path, photos: Path) -> None:
    done = train_without_packages(tmp_path, photos, "features=inception", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "torch-fidelity" in line]
    assert "Inception features need the package torch-fidelity, which is not installed" in line
