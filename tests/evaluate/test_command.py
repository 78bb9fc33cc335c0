"""cyclegan-evaluate: the values of checkpoints that runs leave behind, on a screen and in files."""

import csv
import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from cyclegan.checkpoint.writing import AtomicCheckpointIO
from cyclegan.data.transforms import TrainingView
from cyclegan.evaluate.command import build_parser, main
from cyclegan.evaluate.contact_sheets import ranked
from cyclegan.evaluate.results import finite
from cyclegan.evaluate.table import LINES, SYMPTOMS, best_of, number, of_one, of_several
from cyclegan.metrics.perceptual import Lpips
from cyclegan.train.command import train
from cyclegan.validation.catalogue import higher_is_better
from cyclegan.validation.evaluate import evaluate
from cyclegan.validation.feature_cache import References
from tests.data.test_held_out import found as held_out_below
from tests.faults import largest_file
from tests.small import small_cyclegan
from tests.tiny_run import composed, metrics, read_checkpoint
from tests.validation.networks import Projection

DOC = Path(__file__).parents[2] / "docs" / "measuring.md"
COUNT = 4
FILES = {"metrics.json", "per_image.csv"} | {
    f"{kind}_{way}.jpg" for kind in ("worst", "best") for way in ("A2B", "B2A")
}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A run of three epochs that kept the checkpoint of each."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cyclegan-train"])
        patch.delenv("PL_GLOBAL_SEED", raising=False)
        keep = ["trainer.max_epochs=3", "callbacks.checkpointing.keep_every_n_epochs=1", f"data.source.test={COUNT}"]
        average = "+callbacks.ema={_target_: cyclegan.callbacks.ema.Ema, decay: 0.5}"
        train(composed(folder, root, *keep, "features=random", average))
    return folder


@pytest.fixture
def last(run_dir: Path) -> str:
    return str(run_dir / "checkpoints" / "last.ckpt")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no_weights"))


class Measured(NamedTuple):
    """What the command leaves behind."""

    screen: str
    record: dict[str, Any]
    images: list[dict[str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: str) -> Measured:
        main([*words, "--perceptual", "none", "--device", "cpu", "--output", "out"])
        with Path("out/per_image.csv").open(newline="") as file:
            images = list(csv.DictReader(file))
        return Measured(capsys.readouterr().out, json.loads(Path("out/metrics.json").read_text()), images)

    return call


def refusal(*words: str) -> str:
    """What the command says when it refuses; nothing was written then."""
    with pytest.raises(SystemExit) as caught:
        main([*words, "--device", "cpu", "--output", "refused"])
    assert isinstance(caught.value.code, str)
    assert not Path("refused").exists()
    return caught.value.code


def altered(last: str, change: Any) -> str:
    """A copy of a checkpoint with something else in it."""
    checkpoint = torch.load(last, weights_only=True)
    change(checkpoint)
    AtomicCheckpointIO().save_checkpoint(checkpoint, Path("altered.ckpt"))
    return "altered.ckpt"


# ---------------------------------------------------------------------------------------- values


def test_the_metrics_are_those_that_training_measured_of_the_same_weights(
    command: Any, run_dir: Path, last: str
) -> None:
    """Of every metric: same images, same size, same averaged weights, same features."""
    (entry,) = command("--checkpoint", last).record["checkpoints"]
    (row,) = [row for row in metrics(run_dir) if row["epoch"] == 3 and "val/psnr" in row]
    measured = {name.removeprefix("val/"): value for name, value in row.items() if name.startswith("val/")}
    assert {name: value for name, value in entry["metrics"].items() if value is not None} == pytest.approx(
        {name: value for name, value in measured.items() if not math.isnan(value)}, rel=1e-5, abs=1e-6
    )
    assert (entry["epoch"], entry["images"]) == (3, row["images_seen"])
    assert entry["sha256"] == hashlib.sha256(Path(last).read_bytes()).hexdigest()
    assert entry["protocol"]["weights"] == "their moving average"
    assert entry["protocol"]["images"]["A"] == f"{COUNT} of testA"


def test_a_row_for_each_image_and_direction_and_a_sheet_each(command: Any, last: str) -> None:
    images = command("--checkpoint", last).images
    assert [row["direction"] for row in images] == ["A2B"] * COUNT + ["B2A"] * COUNT
    assert all(Path(row["image"]).name == Path(row["answer"]).name for row in images)
    assert {path.name for path in Path("out").iterdir()} == FILES


def test_one_direction_has_the_same_metrics_as_in_both(command: Any, last: str) -> None:
    both = command("--checkpoint", last).record["checkpoints"][0]["metrics"]
    measured = command("--checkpoint", last, "--direction", "B2A")
    one = measured.record["checkpoints"][0]["metrics"]
    of_one_direction = {name: value for name, value in one.items() if "_" in name}
    assert of_one_direction == pytest.approx({name: both[name] for name in of_one_direction}, rel=1e-6)
    assert {"psnr_ba", "kid_ba", "cycle_b", "identity_a", "checkerboard_ba"} <= of_one_direction.keys()
    assert not {"psnr_ab", "cycle_a", "identity_b"} & one.keys()
    assert one["psnr"] == one["psnr_ba"]
    assert {row["direction"] for row in measured.images} == {"B2A"}
    # Of the earlier evaluation, the other direction's sheets are gone.
    assert {path.name for path in Path("out").glob("*.jpg")} == {"worst_B2A.jpg", "best_B2A.jpg"}
    assert "A→B" not in measured.screen


def test_fewer_images_and_other_sizes_stand_in_the_protocol(command: Any, last: str) -> None:
    measured = command("--checkpoint", last, "--features", "none", "--max-images", "2", "--size", "24")
    (entry,) = measured.record["checkpoints"]
    assert entry["protocol"]["images"]["B"] == f"2 of the {COUNT} of testB"
    assert entry["protocol"]["images"]["size"] == "24×24, the middle of images stretched to 24"
    assert len(measured.images) == 4
    assert "kid" not in entry["metrics"]
    assert "distances" not in entry["protocol"]


def test_pairing_is_the_runs_unless_asked_otherwise(command: Any, last: str) -> None:
    def of_an_older_version(checkpoint: dict[str, Any]) -> None:
        del checkpoint["config"]["data"]["pairing"]

    def psnr(checkpoint: str, *words: str) -> tuple[bool, str, str]:
        measured = command("--checkpoint", checkpoint, "--features", "none", *words)
        (entry,) = measured.record["checkpoints"]
        return "psnr" in entry["metrics"], entry["protocol"]["pairing"], measured.screen

    assert psnr(last)[:2] == (True, "by name")
    assert psnr(last, "--pairing", "none")[:2] == (False, "none")
    older = altered(last, of_an_older_version)
    measured, paired, screen = psnr(older)
    assert (measured, paired) == (False, "none")
    assert f"{COUNT} images of testA and testB have the same name" in screen
    assert "--pairing by_name" in " ".join(screen.split())
    assert psnr(older, "--pairing", "by_name")[:2] == (True, "by name")


def test_test_images_go_before_validation_images_unless_asked_otherwise(
    command: Any, last: str, root: Path, tmp_path: Path
) -> None:
    def split(*words: str) -> str:
        said = command("--checkpoint", last, "--features", "none", "--data", str(tmp_path), *words)
        return str(said.record["checkpoints"][0]["protocol"]["images"]["split"])

    for domain in "AB":
        shutil.copytree(root / f"test{domain}", tmp_path / f"val{domain}")
    assert split() == "val"
    for domain in "AB":
        shutil.copytree(root / f"test{domain}", tmp_path / f"test{domain}")
    assert split() == "test"
    assert split("--split", "val") == "val"


# ------------------------------------------------------------------------------------ checkpoints


def test_a_run_folder_stands_for_its_checkpoints_each_once_in_order(command: Any, run_dir: Path) -> None:
    measured = command("--checkpoint", str(run_dir), str(run_dir / "checkpoints" / "*.ckpt"), "--features", "none")
    entries = measured.record["checkpoints"]
    assert [entry["epoch"] for entry in entries] == [1, 2, 3]  # best.ckpt, last.ckpt, images=… are these again
    assert len(measured.images) == 3 * 2 * COUNT
    assert [row["checkpoint"] for row in measured.images[:: 2 * COUNT]] == [
        str(run_dir / "checkpoints" / f"epoch000{epoch}.ckpt") for epoch in (1, 2, 3)
    ]
    with Path("out/curve.csv").open(newline="") as file:
        curve = list(csv.DictReader(file))
    assert [float(row["psnr_ab"]) for row in curve] == [entry["metrics"]["psnr_ab"] for entry in entries]
    assert "PSNR" in Path("out/curve.html").read_text(encoding="utf-8")
    best = max(range(3), key=lambda place: entries[place]["metrics"]["psnr"])
    table = measured.screen.splitlines()[1:-1]  # the first and the last line name files
    assert max(map(len, table)) <= 80
    marked = [
        line for line in measured.screen.rpartition("mean of")[2].splitlines() if re.match(r" +\d+ +\d+ .*\d", line)
    ]
    assert ["*" in line.split()[2] for line in marked] == [place == best for place in range(3)]
    command("--checkpoint", str(run_dir / "checkpoints" / "last.ckpt"), "--features", "none")
    assert {path.name for path in Path("out").iterdir()} == FILES


def test_checkpoints_under_two_protocols_are_told_apart(command: Any, run_dir: Path, last: str) -> None:
    def smaller(checkpoint: dict[str, Any]) -> None:
        checkpoint["config"]["data"]["crop_size"] = 12

    earlier = str(run_dir / "checkpoints" / "epoch0001.ckpt")
    two = command("--checkpoint", earlier, altered(last, smaller), "--features", "none").screen
    assert two.index("BEWARE") < two.index("A→B")
    assert "*" not in two  # none is the best
    one = command("--checkpoint", earlier, last, "--features", "none").screen
    assert "BEWARE" not in one
    assert "*" in one


@pytest.fixture
def two_runs(run_dir: Path) -> list[str]:
    """The folders of two runs, t1 and sw/1, each of which kept an epoch0001.ckpt and a last.ckpt."""

    def other(checkpoint: dict[str, Any]) -> None:
        checkpoint["data"]["position"] += 2

    for run in ("t1", "sw/1"):
        Path("runs", run, "checkpoints").mkdir(parents=True)
    for name in ("epoch0001.ckpt", "last.ckpt"):
        shutil.copy(run_dir / "checkpoints" / name, Path("runs/t1/checkpoints") / name)
        shutil.move(altered(str(run_dir / "checkpoints" / name), other), Path("runs/sw/1/checkpoints") / name)
    return ["runs/t1", "runs/sw/1"]


def test_checkpoints_of_two_runs_are_told_apart(command: Any, two_runs: list[str]) -> None:
    Path("out").mkdir()
    Path("out/curve.html").write_text("of an earlier evaluation")
    measured = command("--checkpoint", *two_runs, "--features", "none")
    names = ["t1/epoch0001", "t1/last", "sw/1/epoch0001", "sw/1/last"]
    block = measured.screen.rpartition("mean of the directions\n")[2].splitlines()
    assert [line.split()[0] for line in block[1:5]] == names  # a run's rows stand together
    head, row = block[0], block[3]
    assert head.index("epoch") + len("epoch") == row.index(" 1.", len(names[2])) + len(" 1.4")
    files = [f"runs/{name.replace('/e', '/checkpoints/e').replace('/l', '/checkpoints/l')}.ckpt" for name in names]
    assert [row["checkpoint"] for row in measured.images[:: 2 * COUNT]] == files
    with Path("out/curve.csv").open(newline="") as file:
        assert [row["checkpoint"] for row in csv.DictReader(file)] == files
    assert not Path("out/curve.html").exists()  # its one line would lead from the one run to the other
    assert "no curve.html" in measured.screen
    assert "2 runs" in measured.screen


def test_the_middle_of_an_epoch_counts_as_its_part(command: Any, last: str) -> None:
    """Five images in batches of two: an epoch is three batches. One batch more is a fraction of the next."""

    def one_batch_more(checkpoint: dict[str, Any]) -> None:
        checkpoint["data"]["position"] += 2

    entry = command("--checkpoint", altered(last, one_batch_more), "--features", "none").record["checkpoints"][0]
    assert (entry["epoch"], entry["images"]) == (3 + 2 / 5, 20)


def test_the_default_output_is_in_the_run_folder(last: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Path("runs/mine")
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(last, run / "checkpoints" / "last.ckpt")
    main(["--checkpoint", str(run), "--features", "none", "--perceptual", "none", "--device", "cpu"])
    assert (run / "evaluation" / "metrics.json").is_file()


def test_mistakes_name_the_remedy(last: str, tmp_path: Path) -> None:
    alone = ("--perceptual", "none", "--features", "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "a folder without checkpoints" in refusal("--checkpoint", str(empty), *alone)
    assert "a pattern that matches no file" in refusal("--checkpoint", "no*.ckpt", *alone)
    assert "no checkpoint at no.ckpt" in refusal("--checkpoint", "no.ckpt", *alone)
    assert "knows A2B and B2A" in refusal("--checkpoint", last, "--direction", "A2C", *alone)
    assert "multiples of 4" in refusal("--checkpoint", last, "--size", "18", *alone)
    said = refusal("--checkpoint", last, "--data", str(empty), *alone)
    assert "no testA and testB" in said
    assert "--data ROOT" in said
    assert "none of inception, random, none" in refusal("--checkpoint", last, "--features", "vgg", *alone[:2])
    assert "--perceptual alex" in refusal(
        "--checkpoint", last, *alone[2:], "--perceptual", "none", "--perceptual-weights", "x.pth"
    )
    assert "--features inception" in refusal(
        "--checkpoint", last, "--features", "random", "--feature-weights", "x.pth", *alone[:2]
    )


def test_a_checkpoints_configuration_is_data(last: str) -> None:
    """Classes that it names for the images are not looked for, and values that mean nothing are refused."""
    alone = ("--perceptual", "none", "--features", "none")

    def evil(checkpoint: dict[str, Any]) -> None:
        data = checkpoint["config"]["data"]
        data["_target_"] = data["domains"]["A"]["_target_"] = data["source"]["_target_"] = "os.abort"
        checkpoint["config"]["callbacks"]["validation"]["features"] = {"_target_": "os.abort"}

    main(["--checkpoint", altered(last, evil), *alone, "--device", "cpu", "--output", "out"])
    for key, value, says in (
        ("resize", "shear", "there are stretch, width, short_side"), ("crop_size", "16", "crop_size is '16', a str"),
        ("load_size", -1, "load_size is -1"), ("domains", {"A": 3}, "data.domains.A is 3"), ("on_error", "x", "'x'"),
        ("domains", {"A": {"shell": "rm"}, "B": {}}, "unexpected keyword argument 'shell'"),
    ):  # fmt: skip

        def senseless(checkpoint: dict[str, Any], key: str = key, value: Any = value) -> None:
            checkpoint["config"]["data"][key] = value

        assert says in refusal("--checkpoint", altered(last, senseless), *alone)
    assert "how far training had come" in refusal(
        "--checkpoint", altered(last, lambda checkpoint: checkpoint["data"].clear()), *alone
    )


def test_whole_paths_of_the_run_give_way_to_other_data(command: Any, last: str, root: Path, tmp_path: Path) -> None:
    def whole_paths(checkpoint: dict[str, Any]) -> None:
        checkpoint["config"]["data"]["domains"]["A"]["test"] = str(root / "trainA")

    checkpoint = altered(last, whole_paths)
    here = command("--checkpoint", checkpoint, "--features", "none").images
    assert all(Path(row["image"]).parent == root / "trainA" for row in here if row["direction"] == "A2B")
    other = tmp_path / "other"
    for domain in "AB":
        shutil.copytree(root / f"test{domain}", other / f"test{domain}")
    there = command("--checkpoint", checkpoint, "--features", "none", "--data", str(other)).images
    assert {Path(row["image"]).parent for row in there} == {other / "testA", other / "testB"}


# --------------------------------------------------------------------------------------- networks


def test_missing_weights_stop_before_anything_is_measured(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*arguments: Any, **more: Any) -> None:
        pytest.fail("measured without its networks")

    monkeypatch.setattr("cyclegan.validation.evaluate.evaluate", measured)
    said = refusal(
        "--checkpoint", last, "--features", "inception", "--feature-weights", "in.pth", "--perceptual-weights", "al.pth"
    )
    for words in ("in.pth", "--features random", "--features none", "al.pth", "--perceptual none", "--feature-weights"):
        assert words in said


def test_lpips_is_measured_if_the_run_did_unless_asked_otherwise(last: str) -> None:
    def with_lpips(checkpoint: dict[str, Any]) -> None:
        own = {"_target_": "cyclegan.metrics.perceptual.Lpips", "net": "alex", "weights": "of_the_run.pth"}
        checkpoint["config"]["callbacks"]["validation"]["perceptual"] = own

    def without(checkpoint: dict[str, Any]) -> None:
        checkpoint["config"]["callbacks"]["validation"]["perceptual"] = None

    assert "of_the_run.pth" in refusal("--checkpoint", altered(last, with_lpips), "--features", "none")
    quiet = ("--features", "none", "--device", "cpu", "--output", "out")
    main(["--checkpoint", "altered.ckpt", "--perceptual", "none", *quiet])
    main(["--checkpoint", altered(last, without), *quiet])
    assert "lpips" not in json.loads(Path("out/metrics.json").read_text())["checkpoints"][0]["protocol"]
    assert "al.pth" in refusal("--checkpoint", "altered.ckpt", "--features", "none", "--perceptual-weights", "al.pth")


class Colours(nn.Module):
    """A user's own network: mean colours of quarters, weighted by what a file holds."""

    weights: Tensor

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.register_buffer("weights", torch.from_numpy(np.load(weights)["weights"]))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1) * self.weights


@pytest.mark.parametrize("wrapped", [False, True], ids=["the module itself", "as training's group has it"])
def test_features_of_any_module_by_yaml(command: Any, last: str, wrapped: bool) -> None:
    np.savez("colours.npz", weights=np.arange(1, 13, dtype=np.float32))
    node: dict[str, Any] = {"_target_": f"{__name__}.Colours", "weights": "colours.npz"}
    if wrapped:
        any_network = "cyclegan.metrics.feature_network.AnyNetwork"
        node = {"features": {"_target_": any_network, "network": node, "size": 8}}
    Path("mine.yaml").write_text(yaml.safe_dump(node))
    (entry,) = command("--checkpoint", last, "--features", "mine.yaml").record["checkpoints"]
    features = entry["protocol"]["distances"]["features"]
    assert (features["network"], features["size"]) == (f"{__name__}.Colours", 8 if wrapped else None)
    assert math.isfinite(entry["metrics"]["kid_ab"])


def test_yaml_that_describes_no_network_is_refused(last: str) -> None:
    for text, says in (
        ("_target_: fractions.Fraction", "describes a Fraction"), ("a: [", "cannot be used"),
        ("_target_: no.such.Net", "no.such.Net"),
        ("_target_: no.such.Net", "No module named 'no'. Is its folder on PYTHONPATH?"),
        (f"_target_: {__name__}.Colours\nweights: lost.npz", "No such file or directory: 'lost.npz'"),
        ("_target_: cyclegan.metrics.feature_network.AnyNetwork\nsize: big\nnetwork:\n  _target_: torch.nn.Identity",
         "size is 'big'"),
    ):  # fmt: skip
        Path("mine.yaml").write_text(text)
        said = refusal("--checkpoint", last, "--features", "mine.yaml", "--perceptual", "none")
        assert says in said
        assert "--features mine.yaml" in said
        assert "HYDRA_FULL_ERROR" not in said


# --------------------------------------------------------------------------------- broken images


def test_a_broken_image_is_named_whether_it_stops_or_is_left_out(
    command: Any, last: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    for domain in "AB":
        shutil.copytree(root / f"test{domain}", other / f"test{domain}")
    broken = sorted((other / "testA").iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:60])
    words = ("--checkpoint", last, "--data", str(other), "--features", "none", "--perceptual", "none")
    said = refusal(*words)
    assert str(broken) in said
    assert "--on-error skip" in said
    main([*words, "--device", "cpu", "--output", "out", "--on-error", "skip"])
    shown = capsys.readouterr()
    assert f"left out, as it cannot be read: {broken}" in shown.err
    assert f"images   {COUNT - 1} of the {COUNT} of testA, {COUNT} of testB;" in shown.out
    (entry,) = json.loads(Path("out/metrics.json").read_text())["checkpoints"]
    assert entry["protocol"]["images"]["unreadable"] == {"A": 1, "B": 0}


def test_files_of_an_earlier_evaluation_stay_if_this_one_fails(command: Any, last: str, root: Path) -> None:
    command("--checkpoint", last, "--features", "none")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    shutil.copytree(root / "testA", "other/testA")
    shutil.copytree(root / "testB", "other/testB")
    for image in Path("other/testB").iterdir():
        image.write_bytes(b"")
    with pytest.raises(SystemExit):
        command("--checkpoint", last, "--features", "none", "--data", "other")
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


@pytest.mark.parametrize(("output", "says"), [("taken", "is a file"), ("taken/more", "taken is a file")])
def test_an_output_that_is_no_folder_is_refused_before_anything_is_measured(
    last: str, monkeypatch: pytest.MonkeyPatch, output: str, says: str
) -> None:
    monkeypatch.setattr("cyclegan.validation.evaluate.evaluate", lambda *_, **__: pytest.fail("measured"))
    Path("taken").write_text("")
    with pytest.raises(SystemExit, match=rf"--output {output} .*{says}"):
        main(["--checkpoint", last, "--features", "none", "--perceptual", "none", "--output", output])


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_measured(
    last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(**where: Path) -> None:
        raise PermissionError(13, "Permission denied", str(where["dir"] / "x"))

    monkeypatch.setattr("cyclegan.validation.evaluate.evaluate", lambda *_, **__: pytest.fail("measured"))
    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    said = refusal("--checkpoint", last, "--features", "none", "--perceptual", "none")
    assert "--output refused cannot be written" in said
    assert "Permission denied" in said


def interrupt(*arguments: Any, **more: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("where", "says", "is_there"),
    [
        ("validation.evaluate.evaluate", "interrupted, nothing was written", False),
        ("evaluate.contact_sheets.write_sheets", "not complete", True),
    ],
)
def test_an_interruption_says_what_it_leaves(
    last: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    says: str,
    is_there: bool,
) -> None:
    monkeypatch.setattr(f"cyclegan.{where}", interrupt)
    with pytest.raises(SystemExit) as caught:
        main(["--checkpoint", last, "--features", "none", "--perceptual", "none", "--device", "cpu", "--output", "out"])
    assert caught.value.code == 130
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert Path("out").exists() == is_there


# ------------------------------------------------------------------------------------------- text


def drawn(folder: str, sides: dict[str, int], count: int) -> None:
    """Images of noise, testA and testB as large as is said."""
    rng = np.random.default_rng(0)
    for domain, side in sides.items():
        Path(folder, f"test{domain}").mkdir(parents=True)
        for place in range(count):
            pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path(folder, f"test{domain}", f"{place}.png"))


def test_what_was_not_measured_has_a_reason(command: Any, last: str) -> None:
    def whole(checkpoint: dict[str, Any]) -> None:
        checkpoint["config"]["data"] |= {"load_size": None, "crop_size": None}

    drawn("one", {"A": 16, "B": 16}, 1)
    needs = "KID and FID need 2 images of each domain"
    assert needs in command("--checkpoint", last, "--data", "one", "--features", "random").screen
    assert needs not in command("--checkpoint", last, "--data", "one", "--features", "none").screen
    drawn("unlike", {"A": 16, "B": 24}, 2)
    few = command("--checkpoint", last, "--data", "unlike", "--features", "random").screen
    assert "no precision and recall: they need 50 images of each domain" in few
    unlike = command("--checkpoint", altered(last, whole), "--data", "unlike", "--features", "random").screen
    assert "not compared, as they have another size than the translations: A2B 2, B2A 2" in " ".join(unlike.split())
    alike = command("--checkpoint", last, "--data", "unlike", "--features", "random").screen
    assert "not compared" not in alike
    assert needs not in alike


class FullDisk(io.StringIO):
    """A screen that is a file without room for it."""

    def write(self, text: str, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_table_that_cannot_be_printed_costs_no_file(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", FullDisk())
    words = ("--features", "none", "--perceptual", "none", "--device", "cpu", "--output", "out")
    with pytest.raises(SystemExit, match="No space left on device"):
        main(["--checkpoint", last, *words])
    assert {path.name for path in Path("out").iterdir()} == FILES


def test_a_file_that_cannot_be_written_costs_no_table(
    last: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="File too large"), largest_file(10):
        main(["--checkpoint", last, "--features", "none", "--perceptual", "none", "--device", "cpu", "--output", "out"])
    assert "PSNR, dB" in capsys.readouterr().out


def test_help_answers_without_torch() -> None:
    code = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from cyclegan.evaluate.command import main\n"
        "try: main()\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("False\n")
    assert "examples:" in shown


def test_json_holds_no_number_that_json_does_not_know() -> None:
    assert finite({"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}}) == {
        "a": None, "b": [None, 1.5], "c": {"d": None},
    }  # fmt: skip


def test_images_are_ranked_by_their_answers_else_by_the_way_back() -> None:
    def row(**values: float) -> dict[str, Any]:
        return {"direction": "A2B", "image": str(values), **values}

    known = [row(psnr=20.0, cycle=0.1), row(psnr=math.inf, cycle=0.3), row(psnr=10.0, cycle=0.2), row(cycle=0.9)]
    assert ranked(known, ("A", "B")) == ("psnr", [known[2], known[0], known[1]])
    unknown = [row(cycle=0.1), row(cycle=0.3), row(cycle=math.nan)]
    assert ranked(unknown, ("A", "B")) == ("cycle", [unknown[1], unknown[0]])
    assert ranked(known, ("B", "A")) == ("cycle", [])


def test_a_sheet_shows_input_output_answer_and_back_with_small_images_enlarged(command: Any, last: str) -> None:
    command("--checkpoint", last, "--features", "none", "--worst", "2")
    with Image.open("out/worst_A2B.jpg") as sheet:
        assert sheet.width == 8 + 4 * (192 + 8)  # 16 × 12 pixels each
        assert 2 * 192 < sheet.height < 3 * 192


def test_the_table_marks_ways_and_shows_what_untouched_input_would_reach() -> None:
    values = {"psnr_ab": 19.618, "psnr": 19.618, "psnr_copied_ab": 14.2, "kid_ab": 0.01234, "kid_spread_ab": 0.0021}
    text = of_one(values | {"change_ab": 0.2}, [("A", "B")])
    lines = [line.split() for line in text.splitlines() if line]
    assert ["PSNR,", "dB", "↑", "19.62"] in lines
    assert ["untouched", "input", "14.20"] in lines
    assert ["KID", "↓", "0.0123", "±", "0.002"] in lines
    assert ["change", "L1", "0.2000"] in lines
    assert "mean" not in text


def test_no_line_of_a_full_table_is_wider_than_a_screen() -> None:
    directions = [("A", "B"), ("B", "A")]
    names = [f"{line.stem}_{end}" for line in LINES for end in ("ab", "ba", "a", "b")]
    values = dict.fromkeys([*names, *(line.stem for line in LINES)], 0.12345)
    for way in ("", "_ab", "_ba"):
        values |= {f"psnr{way}": 23.45, f"kid{way}": -0.00123, f"kid_spread{way}": 0.00123, f"fid{way}": 175.34}
    several = of_several([{"epoch": 200.0, "images": 1_234_567, **values}] * 2, directions)
    assert max(map(len, (of_one(values, directions) + "\n" + several).splitlines())) <= 80


def test_the_best_is_finite_and_the_first_of_equals() -> None:
    rows = [{"kid": 0.2}, {"kid": 0.1}, {"kid": math.nan}, {"kid": 0.1}, {}]
    assert best_of(rows, "kid") == 1
    assert best_of([{"psnr_ab": 1.0}, {"psnr_ab": 2.0}, {"psnr_ab": math.inf}], "psnr_ab") == 1
    assert best_of([{}], "kid") is None


def test_numbers_have_four_digits() -> None:
    assert [number(value) for value in (19.6181, 175.26, 0.05, -0.00046, 1.0, math.nan)] == [
        "19.62", "175.3", "0.0500", "-0.00046", "1.000", "–",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------- docs


class AnyLpips(Lpips):
    """LPIPS without weights."""

    def distances(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.float() - b.float()).abs().mean((1, 2, 3))


def test_docs_list_every_metric_and_no_other(root: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`name_ab` in the page stands for each direction, `name_a` for each domain."""
    monkeypatch.setattr("cyclegan.validation.summary.LEAST_OF_A_MANIFOLD", COUNT)
    held_out = held_out_below(root, view=TrainingView(None, 16, flip=False), pairing="by_name")
    found = evaluate(small_cyclegan().eval(), held_out, References(Projection(), None), AnyLpips()).metrics
    page = DOC.read_text(encoding="utf-8").partition("## The metrics")[2].partition("\n## ")[0]
    listed = {name for row in re.findall(r"^\| (`.*?) \|", page, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert listed == {re.sub(r"_b$", "_a", re.sub(r"_ba$", "_ab", name)) for name in found}


def test_docs_say_which_way_is_better_as_the_code_does() -> None:
    page = DOC.read_text(encoding="utf-8").partition("## The metrics")[2].partition("\n## ")[0]
    for names, better in re.findall(r"^\| (`.*?) \| .*? \| (.*?) \|", page, re.M):
        for name in re.findall(r"`(\w+)`", names):
            neither = name.partition("_")[0] in SYMPTOMS or "realness" in name or "_copied" in name or "_spread" in name
            assert better == ("–" if neither else "higher" if higher_is_better(name) else "lower"), name


def test_the_docs_own_network_can_be_used_as_the_page_says(
    command: Any, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = DOC.read_text(encoding="utf-8")
    (code,), (config,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.S) for kind in ("python", "yaml"))
    Path("looks.py").write_text(code)
    Path("looks.yaml").write_text(config)
    rng = np.random.default_rng(0)
    shapes = {"conv1": (32, 3, 7, 7), "conv2": (5, 32, 3, 3)}
    np.savez("looks.npz", **{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})  # type: ignore[arg-type]
    monkeypatch.syspath_prepend(tmp_path)
    (entry,) = command("--checkpoint", last, "--features", "looks.yaml").record["checkpoints"]
    features = entry["protocol"]["distances"]["features"]
    assert (features["network"], features["size"]) == ("looks.Looks", 224)


def test_docs_list_every_argument() -> None:
    page = DOC.read_text(encoding="utf-8")
    for action in build_parser()._actions:
        if action.dest not in ("help", "version"):
            assert f"`{action.option_strings[-1]}" in page


def test_the_run_says_what_it_measured_with(run_dir: Path) -> None:
    """A checkpoint may choose one of this package's feature networks, and toy runs name the one without weights."""
    config = read_checkpoint(run_dir)["config"]
    assert config["callbacks"]["validation"]["features"]["_target_"].endswith(".RandomFeatures")
