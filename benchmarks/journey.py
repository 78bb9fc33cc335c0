"""Count the files of the package that a training, one batch, a validation and a translation run.

    python benchmarks/journey.py            # a table
    python benchmarks/journey.py --files    # and the names of the files, in the order in which they are first called

Imports are not counted: only files with a function that is called. The training is two epochs of a tiny toy set with
the default callbacks, in this process; data are loaded without workers, so that the code of the data is counted.
"""

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import hydra.utils
from hydra import compose, initialize_config_dir

import cyclegan
from cyclegan.train import train
from cyclegan.train.configuration import conf_dir
from cyclegan.translate import main as translate
from cyclegan.validation.evaluate import evaluate

PACKAGE = Path(cyclegan.__file__).parent
TINY = (
    "experiment=toy", "logger=csv", "data.source.train=5", "data.source.test=2", "data.source.size=24",
    "data.load_size=20", "data.crop_size=16", "data.batch_size=2", "data.num_workers=0", "trainer.max_epochs=2",
    "model.generator.width=4", "model.generator.blocks=1", "model.discriminator.width=4",
)  # fmt: skip


def files_of(journey: Callable[[], object]) -> list[Path]:
    """Call a function and return the files of the package whose functions it ran, in the order of their first call."""
    seen: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name != "<module>":
            seen.setdefault(code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        journey()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return [Path(name) for name in seen if Path(name).is_relative_to(PACKAGE)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", action="store_true", help="print the names of the files too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(conf_dir(), version_base="1.3"):
        root, run = Path(folder) / "toy", Path(folder) / "run"
        config = compose("train", [*TINY, f"run_dir={run}", f"data.root={root}"])
        found = {"a training": files_of(lambda: train(config))}
        data = hydra.utils.instantiate(config.data, _convert_="all")
        data.setup("fit")
        batches = iter(data.train_dataloader())
        next(batches)  # a warm-up batch
        found["one batch of images"] = files_of(lambda: data.on_after_batch_transfer(next(batches), 0))
        translator, held_out = cyclegan.load(run), data.held_out()
        found["one validation"] = files_of(lambda: evaluate(translator, held_out))
        words = ["--checkpoint", str(run), "--input", str(root / "testA"), "--output", f"{folder}/out"]
        found["cyclegan-translate"] = files_of(lambda: translate([*words, "--device", "cpu"]))
    print("\njourney              files  lines in them")
    for name, files in found.items():
        lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        print(f"{name:20} {len(files):6} {lines:14,}")
        if arguments.files:
            print("\n".join(f"    {file.relative_to(PACKAGE.parent)}" for file in files))


if __name__ == "__main__":
    main()
