"""Every method through all commands: a run, its translations, its evaluation, and its report."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cyclegan import translate
from cyclegan.evaluate.command import main as evaluate
from cyclegan.methods.translator import Translator
from cyclegan.report.page import write_report
from cyclegan.train.command import train
from tests.tiny_run import METHODS, composed, metrics

pytestmark = pytest.mark.usefixtures("quiet")

IMAGES = 3
BOTH = ("A2B", "B2A")


class Expected(NamedTuple):
    """What commands give for a method.

    Args:
        directions: those that it translates.
        scored: domains whose discriminator has a score on an absolute scale.
        losses: titles of the charts of its losses, with the number of their curves.
        pixels: height and width of its test images.
    """

    directions: tuple[str, ...]
    scored: str
    losses: dict[str, int]
    pixels: int = 16


EXPECTED = {
    "cyclegan": Expected(BOTH, "ab", {"Adversarial": 2, "Discriminators": 2, "Cycle": 2, "Identity": 2}),
    "pix2pix": Expected(("A2B",), "", {"Adversarial": 1, "Discriminators": 1, "L1": 1}),
    "cut": Expected(("A2B",), "b", {"Adversarial": 1, "Discriminators": 1, "PatchNCE": 2}),
    "fastcut": Expected(("A2B",), "b", {"Adversarial": 1, "Discriminators": 1, "PatchNCE": 1}),
    "discogan": Expected(BOTH, "ab", {"Adversarial": 2, "Discriminators": 2, "Cycle": 2, "Features": 2}, pixels=64),
    "dualgan": Expected(BOTH, "", {"Adversarial": 2, "Discriminators": 2, "Cycle": 2, "Penalty": 2}),
}
FAST = ("cut", "discogan")  # one direction in turns, and both in steps of one player


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in METHODS]
)
def test_every_command_reads_the_run_of_a_method(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    expected, run = EXPECTED[name], tmp_path / "run"
    words = (*METHODS[name], "features=random", f"data.source.test={IMAGES}", "trainer.max_epochs=1")
    trained = train(composed(run, tmp_path / "toy", *words)).lightning_module
    assert isinstance(trained, Translator)
    check_translations(trained, run, tmp_path, expected)
    capsys.readouterr()
    evaluate([*map(str, ("--checkpoint", run, "--output", tmp_path / "evaluation")), "--device", "cpu"])
    check_evaluation(capsys.readouterr().out, run, tmp_path / "evaluation", expected)
    check_report(write_report(run).read_text(encoding="utf-8"), expected)


def check_translations(trained: Translator, run: Path, folder: Path, expected: Expected) -> None:
    """Translate the test images in all directions, and refuse others; the files hold what the networks return."""
    for way in BOTH:
        inputs = sorted((folder / "toy" / f"test{way[0]}").iterdir())
        words = ["--checkpoint", run, "--input", inputs[0].parent, "--output", folder / way, "--resize", "none"]
        command = [*map(str, words), "--direction", way, "--device", "cpu"]
        if way not in expected.directions:
            with pytest.raises(SystemExit, match=f"--direction {way}: this checkpoint knows A2B"):
                translate.main(command)
            continue
        translate.main(command)
        assert sorted(path.name for path in (folder / way).iterdir()) == [path.name for path in inputs]
        assert len(inputs) == IMAGES
        networks = trained.eval().generators()
        network = networks["gen" if "gen" in networks else f"gen_{way[0]}{way[2]}".lower()]
        for path in inputs:
            image = pixels(path)[None] / 127.5 - 1
            with torch.no_grad():
                translated = network(image)[0]
            written = pixels(folder / way / path.name)
            assert (written - (translated + 1) * 127.5).abs().max() <= 0.5 + 1e-3, "rounded to a grey level"
            assert (written - pixels(path)).abs().mean() > 1


def pixels(path: Path) -> Tensor:
    """Return the grey levels (3, H, W) of an image file."""
    with Image.open(path) as image:
        return torch.tensor(np.asarray(image)).permute(2, 0, 1).float()


def check_evaluation(screen: str, run: Path, output: Path, expected: Expected) -> None:
    """Compare the files and the table with the method's directions, and the metrics with those of training."""
    (entry,) = json.loads((output / "metrics.json").read_text())["checkpoints"]
    (row,) = [row for row in metrics(run) if row["epoch"] == 1 and "val/psnr" in row]
    of_training = {name.removeprefix("val/"): value for name, value in row.items() if name.startswith("val/")}
    assert entry["metrics"] == pytest.approx(of_training, rel=1e-4, abs=1e-5)
    assert entry["protocol"]["images"]["size"].startswith(f"{expected.pixels}×{expected.pixels}")

    measured = entry["metrics"].keys()
    sources = {way[0].lower() for way in expected.directions}
    assert {f"psnr_{way[0]}{way[2]}".lower() for way in expected.directions} == domains_of("psnr", measured)
    assert domains_of("cycle", measured) == ({f"cycle_{source}" for source in sources} if len(sources) > 1 else set())
    assert ("Cycle L1" in screen) == (len(sources) > 1)
    assert screen.count("cycle      none: the checkpoint does not translate back") == (len(sources) == 1)
    for kind in ("d_real", "d_fake"):
        assert domains_of(kind, measured) == {f"{kind}_{domain}" for domain in expected.scored}
    assert ("Discriminator score" in screen) == bool(expected.scored)

    with (output / "per_image.csv").open(newline="") as file:
        assert Counter(row["direction"] for row in csv.DictReader(file)) == dict.fromkeys(expected.directions, IMAGES)
    sheets = {path.name for path in output.glob("*.jpg")}
    assert sheets == {f"{kind}_{way}.jpg" for kind in ("best", "worst") for way in expected.directions}


def domains_of(metric: str, columns: Iterable[str]) -> set[str]:
    """Return the columns of a metric that end in domains."""
    return {column for column in columns if re.fullmatch(rf"{metric}_[ab]+", column)}


def check_report(page: str, expected: Expected) -> None:
    """Compare the charts of losses with those of the method; each title is followed by its curves."""
    section = page.partition("<h2>Losses and learning rate</h2>")[2].partition("</section>")[0]
    titles = re.findall(r"<figcaption>(.*?) <small>", section)
    plots = section.split("Plotly.newPlot(")[1:]
    curves = [json.JSONDecoder().raw_decode(plot, plot.index("["))[0] for plot in plots]
    assert dict(zip(titles, map(len, curves), strict=True)) == expected.losses | {"Learning rate": 2}
    assert "PSNR, dB · A→B" in page
    assert ("PSNR, dB · B→A" in page) == ("B2A" in expected.directions)
