"""cyclegan-evaluate: values, checkpoints, networks, files and refusals."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image

from cyclegan.checkpoint.targets import leaves
from cyclegan.checkpoint.writing import AtomicCheckpointIO
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.held_out import HeldOut
from cyclegan.evaluate.command import main
from cyclegan.metrics.random_features import RandomFeatures
from cyclegan.train.command import train
from tests.checkpoint.published_layouts import resnet
from tests.faults import largest_file
from tests.tiny_run import composed, metrics

COUNT = 4
NONE = ("--features", "none", "--perceptual", "none")
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
    """The output of a command."""

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
    """Return the message of a refused command, which wrote nothing."""
    with pytest.raises(SystemExit) as caught:
        main([*words, "--device", "cpu", "--output", "refused"])
    assert isinstance(caught.value.code, str)
    assert not list(Path("refused").glob("*"))
    return caught.value.code


def altered(last: str, more_images: int = 0, validation: dict[str, Any] | None = None, **data: Any) -> str:
    """Save a copy of a checkpoint with another position and configuration."""
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["data"]["position"] += more_images
    checkpoint["config"]["callbacks"]["validation"] |= validation or {}
    checkpoint["config"]["data"] |= data
    AtomicCheckpointIO().save_checkpoint(checkpoint, Path("altered.ckpt"))
    return "altered.ckpt"


def copied(root: Path, other: str = "other") -> Path:
    """Copy the test images to another root."""
    for domain in "AB":
        shutil.copytree(root / f"test{domain}", Path(other, f"test{domain}"))
    return Path(other)


# ---------------------------------------------------------------------------------------- published weights


def test_published_weights_are_measured_in_the_direction_that_is_asked_for(
    command: Any, run_dir: Path, root: Path
) -> None:
    torch.manual_seed(0)
    network = resnet()
    torch.save(network.state_dict(), "zebra2horse.pth")
    words = ("--checkpoint", "zebra2horse.pth", "--data", str(root), "--features", "random", "--size", "24")
    measured = command(*words, "--direction", "B2A")
    (entry,) = measured.record["checkpoints"]
    assert measured.screen.startswith("zebra2horse.pth: weights without their training")
    assert entry["protocol"]["images"]["load_size"] == 24
    assert {"kid_ba", "lightness_ba"} & entry["metrics"].keys()
    assert not any(name.endswith("_ab") for name in entry["metrics"])
    assert {row["direction"] for row in measured.images} == {"B2A"}
    assert "testB" in measured.images[0]["image"]

    Path("both").mkdir()
    for name in ("latest_net_G_A.pth", "latest_net_G_B.pth"):
        torch.save(network.state_dict(), Path("both", name))
    both = command("--checkpoint", "both", *words[2:]).record["checkpoints"][0]
    assert both["metrics"]["kid_ba"] == pytest.approx(entry["metrics"]["kid_ba"], rel=1e-5)
    assert "cycle_a" in both["metrics"]
    assert len(both["sha256"]) == 64
    assert "Pass --data ROOT" in refusal("--checkpoint", "zebra2horse.pth", *NONE)

    torch.save(resnet(channels=(1, 3)).state_dict(), "grey.pth")
    words = ("--checkpoint", "grey.pth", "--data", str(root), "--features", "none", "--max-images", "2")
    images = command(*words, "--direction", "B2A").record["checkpoints"][0]["protocol"]["images"]
    assert images["size"] == "256×256, the middle of images stretched to 256"


# ---------------------------------------------------------------------------------------- values


def test_metrics_equal_those_of_training_for_the_same_weights(command: Any, run_dir: Path, last: str) -> None:
    (entry,) = command("--checkpoint", last).record["checkpoints"]
    (row,) = [row for row in metrics(run_dir) if row["epoch"] == 3 and "val/psnr" in row]
    measured = {name.removeprefix("val/"): value for name, value in row.items() if name.startswith("val/")}
    assert entry["metrics"] == pytest.approx(measured, rel=1e-5, abs=1e-6)
    assert (entry["epoch"], entry["images"]) == (3, row["images_seen"])
    assert entry["sha256"] == hashlib.sha256(Path(last).read_bytes()).hexdigest()
    assert entry["protocol"]["weights"] == "their moving average"
    assert entry["protocol"]["images"]["A"] == f"{COUNT} of testA"


def test_one_direction_has_the_same_metrics_as_both(command: Any, last: str) -> None:
    both = command("--checkpoint", last).record["checkpoints"][0]["metrics"]
    measured = command("--checkpoint", last, "--direction", "B2A")
    one = measured.record["checkpoints"][0]["metrics"]
    of_one_direction = {name: value for name, value in one.items() if "_" in name}
    assert of_one_direction == pytest.approx({name: both[name] for name in of_one_direction}, rel=1e-6)
    assert {"psnr_ba", "kid_ba", "cycle_b", "identity_a", "checkerboard_ba"} <= of_one_direction.keys()
    assert not {"psnr_ab", "cycle_a", "identity_b"} & one.keys()
    assert one["psnr"] == one["psnr_ba"]
    assert {row["direction"] for row in measured.images} == {"B2A"}
    assert "does not translate back" not in measured.screen
    # Of the earlier evaluation, the other direction's sheets are gone.
    assert {path.name for path in Path("out").glob("*.jpg")} == {"worst_B2A.jpg", "best_B2A.jpg"}
    assert "A→B" not in measured.screen


def test_the_protocol_states_number_and_size_of_the_images(command: Any, last: str) -> None:
    measured = command("--checkpoint", last, "--features", "none", "--max-images", "2", "--size", "24")
    (entry,) = measured.record["checkpoints"]
    assert entry["protocol"]["images"]["B"] == f"2 of the {COUNT} of testB"
    assert entry["protocol"]["images"]["size"] == "24×24, the middle of images stretched to 24"
    assert len(measured.images) == 4
    assert "kid" not in entry["metrics"]
    assert "distances" not in entry["protocol"]


def test_pairing_defaults_to_that_of_the_run(command: Any, last: str) -> None:
    def psnr(checkpoint: str, *words: str) -> tuple[bool, str, str]:
        measured = command("--checkpoint", checkpoint, "--features", "none", *words)
        (entry,) = measured.record["checkpoints"]
        return "psnr" in entry["metrics"], entry["protocol"]["pairing"], " ".join(measured.screen.split())

    assert psnr(last)[:2] == (True, "by name")
    assert psnr(last, "--pairing", "none")[:2] == (False, "none")
    unpaired = altered(last, pairing="auto")
    measured, paired, screen = psnr(unpaired)
    assert (measured, paired) == (False, "none")
    assert f"{COUNT} images of testA and testB have the same name" in screen
    assert "--pairing by_name" in screen
    assert psnr(unpaired, "--pairing", "by_name")[:2] == (True, "by name")


def test_test_images_are_preferred_to_validation_images(command: Any, last: str, root: Path, tmp_path: Path) -> None:
    def split(*words: str) -> Any:
        measured = command("--checkpoint", last, "--features", "none", "--data", str(tmp_path), *words)
        return measured.record["checkpoints"][0]["protocol"]["images"]["split"]

    for domain in "AB":
        shutil.copytree(root / f"test{domain}", tmp_path / f"val{domain}")
    assert split() == "val"
    copied(root, ".")
    assert split() == "test"
    assert split("--split", "val") == "val"


# ------------------------------------------------------------------------------------ checkpoints


def test_a_run_folder_gives_each_of_its_checkpoints_once_in_order(command: Any, run_dir: Path) -> None:
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
    rows = measured.screen.rpartition("mean of the directions\n")[2].splitlines()[1:4]
    assert ["*" in row.split()[2] for row in rows] == [place == best for place in range(3)]
    command("--checkpoint", str(run_dir / "checkpoints" / "last.ckpt"), "--features", "none")
    assert {path.name for path in Path("out").iterdir()} == FILES


def test_checkpoints_with_different_protocols_are_not_compared(command: Any, run_dir: Path, last: str) -> None:
    earlier = str(run_dir / "checkpoints" / "epoch0001.ckpt")
    two = command("--checkpoint", earlier, altered(last, crop_size=12), "--features", "none").screen
    assert two.index("WARNING") < two.index("A→B")
    assert "*" not in two  # none is the best
    one = command("--checkpoint", earlier, last, "--features", "none").screen
    assert "WARNING" not in one
    assert "*" in one


def test_checkpoints_of_two_runs_are_grouped_and_have_no_curve_page(command: Any, run_dir: Path) -> None:
    names = ["t1/epoch0001", "t1/last", "sw/1/epoch0001", "sw/1/last"]
    files = [Path("runs", name).parent / "checkpoints" / f"{Path(name).name}.ckpt" for name in names]
    for place, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(altered(str(run_dir / "checkpoints" / file.name), more_images=place), file)
    Path("out").mkdir()
    Path("out/curve.html").write_text("of an earlier evaluation")
    measured = command("--checkpoint", "runs/t1", "runs/sw/1", "--features", "none")
    block = measured.screen.rpartition("mean of the directions\n")[2].splitlines()
    assert [line.split()[0] for line in block[1:5]] == names
    assert [row["checkpoint"] for row in measured.images[:: 2 * COUNT]] == [str(file) for file in files]
    assert not Path("out/curve.html").exists()  # its line would lead from one run to the other
    assert "4 checkpoints of 2 runs" in measured.screen


def test_a_part_of_an_epoch_is_a_fraction(command: Any, last: str) -> None:
    """Three epochs of five images in batches of two: 18 images. One batch more is 2/5 of the next epoch."""
    checkpoint = altered(last, more_images=2)
    entry = command("--checkpoint", checkpoint, "--features", "none").record["checkpoints"][0]
    assert (entry["epoch"], entry["images"]) == (3 + 2 / 5, 20)


def test_the_default_output_is_in_the_run_folder(last: str) -> None:
    run = Path("runs/mine")
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(last, run / "checkpoints" / "last.ckpt")
    main(["--checkpoint", str(run), *NONE, "--device", "cpu"])
    assert (run / "evaluation" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--checkpoint", "empty", *NONE), "a folder without checkpoints"),
        (("--checkpoint", "no*.ckpt", *NONE), "a pattern that matches no file"),
        (("--checkpoint", "no.ckpt", *NONE), "no checkpoint at no.ckpt"),
        (("--direction", "A2C", *NONE), "knows A2B and B2A"),
        (("--size", "18", *NONE), "multiples of 4"),
        (("--data", "empty", *NONE), "no test or val images"),
        (("--features", "vgg"), "none of inception, random and none"),
        (("--perceptual", "none", "--perceptual-weights", "x.pth", "--features", "none"), "--perceptual alex"),
        (("--features", "random", "--feature-weights", "x.pth"), "--features inception"),
    ],
)
def test_refused_options_name_the_remedy(last: str, words: tuple[str, ...], message: str) -> None:
    Path("empty").mkdir()
    assert message in refusal(*(() if "--checkpoint" in words else ("--checkpoint", last)), *words)


def test_classes_in_a_checkpoints_configuration_are_not_called(command: Any, last: str) -> None:
    evil = {"_target_": "os.abort"}
    nested = {"_target_": "cyclegan.metrics.random_features.RandomFeatures", "seed": evil}
    checkpoint = altered(last, validation={"features": nested}, source=evil, _target_="os.abort")
    assert "kid" in command("--checkpoint", checkpoint).record["checkpoints"][0]["metrics"]


def test_a_checkpoint_without_a_position_is_refused(last: str) -> None:
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["data"].clear()
    torch.save(checkpoint, "altered.ckpt")
    assert "cannot be evaluated: it lacks 'position'" in refusal("--checkpoint", "altered.ckpt", *NONE)


def test_a_checkpoint_holds_no_weights_of_the_feature_network(last: str) -> None:
    """The run measures KID with random features."""
    weights = next(RandomFeatures().load().parameters())
    shapes = {getattr(value, "shape", None) for _, value in leaves(torch.load(last, weights_only=True), "")}
    assert weights.shape not in shapes


class Mine(pl.LightningDataModule):
    """A data module of another class, with arguments of its own."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.inner = ImageDataModule(folder, load_size=20, crop_size=16, num_workers=0, pairing="by_name")
        self.cache_dir = self.inner.cache_dir

    def setup(self, stage: str = "fit") -> None:
        self.inner.setup()

    def held_out(self, at_most: int | None = None) -> HeldOut | None:
        return self.inner.held_out(at_most)


def test_a_run_of_another_data_module_is_measured_on_its_held_out_images_if_it_is_trusted(
    command: Any, last: str, root: Path
) -> None:
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["config"]["data"] = {"_target_": f"{__name__}.Mine", "folder": str(root)}
    checkpoint["data"] = {"position": checkpoint["data"]["position"]}
    torch.save(checkpoint, "mine.ckpt")
    words = ("--checkpoint", "mine.ckpt")
    assert "pass --trust tests" in refusal(*words, *NONE)
    assert "Mine, chooses the images itself" in refusal(*words, *NONE, "--trust", "tests", "--split", "val")
    (expected,) = command("--checkpoint", last).record["checkpoints"]
    (entry,) = command(*words, "--trust", "tests").record["checkpoints"]
    assert entry["metrics"] == expected["metrics"]
    assert command(*words, "--trust", "tests", "--max-images", "2").images[2]["direction"] == "B2A"


@pytest.mark.parametrize(
    "data",
    [
        {"_target_": "cyclegan.files.os.mkdir", "path": "made"},  # what a module of this package imports
        {"_target_": f"{__name__}.Mine", "folder": {"_target_": "cyclegan.files.os.mkdir", "path": "made"}},
    ],
    ids=["the data module", "an argument of a trusted one"],
)
def test_a_checkpoints_data_module_calls_nothing_else(last: str, data: dict[str, Any]) -> None:
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["config"]["data"] = data
    torch.save(checkpoint, "mine.ckpt")
    assert "pass --trust cyclegan" in refusal("--checkpoint", "mine.ckpt", *NONE, "--trust", "tests")
    assert not Path("made").exists()


def test_other_data_replaces_absolute_paths_of_the_run(command: Any, last: str, root: Path) -> None:
    checkpoint = altered(last, domains={"A": {"test": str(root / "trainA")}, "B": {}})
    here = command("--checkpoint", checkpoint, "--features", "none").images
    assert all(Path(row["image"]).parent == root / "trainA" for row in here if row["direction"] == "A2B")
    other = copied(root)
    there = command("--checkpoint", checkpoint, "--features", "none", "--data", str(other)).images
    assert {Path(row["image"]).parent for row in there} == {other / "testA", other / "testB"}


# --------------------------------------------------------------------------------------- networks


def test_missing_weights_stop_before_anything_is_measured(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.validation.evaluate.evaluate", lambda *_, **__: pytest.fail("measured"))
    message = refusal("--checkpoint", last, "--feature-weights", "in.pth", "--perceptual-weights", "al.pth")
    for words in ("in.pth", "--features random", "--features none", "al.pth", "--perceptual none", "--feature-weights"):
        assert words in message


def test_lpips_defaults_to_that_of_the_run(last: str) -> None:
    own = {"_target_": "cyclegan.metrics.perceptual.Lpips", "net": "alex", "weights": "of_the_run.pth"}
    with_lpips = altered(last, validation={"perceptual": own})
    assert "of_the_run.pth" in refusal("--checkpoint", with_lpips, "--features", "none")
    quiet = ("--features", "none", "--device", "cpu", "--output", "out")
    main(["--checkpoint", with_lpips, "--perceptual", "none", *quiet])
    without = altered(last, validation={"perceptual": None})
    main(["--checkpoint", without, *quiet])
    assert "lpips" not in json.loads(Path("out/metrics.json").read_text())["checkpoints"][0]["protocol"]
    assert "al.pth" in refusal("--checkpoint", without, "--features", "none", "--perceptual-weights", "al.pth")


def test_features_of_a_module_described_by_yaml(command: Any, last: str) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({"_target_": "torch.nn.Flatten"}))
    (entry,) = command("--checkpoint", last, "--features", "mine.yaml").record["checkpoints"]
    features = entry["protocol"]["distances"]["features"]
    assert (features["network"], features["size"]) == ("torch.nn.modules.flatten.Flatten", None)
    assert "kid_ab" in entry["metrics"]


def test_yaml_without_a_usable_network_is_refused(last: str) -> None:
    for text, message in (
        ("_target_: fractions.Fraction", "is a Fraction; give an nn.Module"),
        ("a: [", "is no YAML"),
        ("_target_: no.such.Net", "there is no module no. Install it, or put its folder on PYTHONPATH"),
    ):
        Path("mine.yaml").write_text(text)
        assert message in refusal("--checkpoint", last, "--features", "mine.yaml", "--perceptual", "none")


# --------------------------------------------------------------------------------- broken images


def test_an_unreadable_image_is_named_as_an_error_and_when_skipped(
    last: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copied(root)
    broken = sorted((other / "testA").iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:60])
    words = ("--checkpoint", last, "--data", str(other), *NONE)
    message = refusal(*words)
    assert str(broken) in message
    assert "--on-error skip" in message
    main([*words, "--device", "cpu", "--output", "out", "--on-error", "skip"])
    shown = capsys.readouterr()
    assert f"skipped, unreadable: {broken}" in shown.err
    assert f"images     {COUNT - 1} of the {COUNT} of testA, {COUNT} of testB;" in shown.out
    (entry,) = json.loads(Path("out/metrics.json").read_text())["checkpoints"]
    assert entry["protocol"]["images"]["unreadable"] == {"A": 1, "B": 0}


def test_files_of_an_earlier_evaluation_stay_if_this_one_fails(command: Any, last: str, root: Path) -> None:
    command("--checkpoint", last, "--features", "none")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    for image in (copied(root) / "testB").iterdir():
        image.write_bytes(b"")
    with pytest.raises(SystemExit):
        command("--checkpoint", last, "--features", "none", "--data", "other")
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


def test_an_unusable_output_is_refused_before_anything_is_measured(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.validation.evaluate.evaluate", lambda *_, **__: pytest.fail("measured"))
    Path("taken").write_text("")
    with pytest.raises(SystemExit, match=r"Not a directory: 'taken/more'"):
        main(["--checkpoint", last, *NONE, "--output", "taken/more"])


def test_an_interruption_ends_with_130_and_leaves_no_files(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cyclegan.validation.evaluate.evaluate", interrupt)
    with pytest.raises(SystemExit) as caught:
        main(["--checkpoint", last, *NONE, "--device", "cpu", "--output", "out"])
    assert caught.value.code == 130
    assert list(Path("out").iterdir()) == []


def drawn(folder: str, sides: dict[str, int], count: int) -> str:
    """Draw `count` black square images for each domain."""
    for domain, side in sides.items():
        Path(folder, f"test{domain}").mkdir(parents=True)
        for place in range(count):
            Image.new("RGB", (side, side)).save(Path(folder, f"test{domain}", f"{place}.png"))
    return folder


def test_missing_metrics_have_a_reason(command: Any, last: str) -> None:
    def screen(checkpoint: str, data: str, features: str = "random") -> str:
        words = ("--checkpoint", checkpoint, "--data", data, "--features", features)
        return " ".join(command(*words).screen.split())

    one = drawn("one", {"A": 16, "B": 16}, 1)
    unlike = drawn("unlike", {"A": 16, "B": 24}, 2)
    assert "KID and FID need 2 images of each domain" in screen(last, one)
    assert "KID and FID need" not in screen(last, one, "none")
    assert "KID and FID need" not in screen(last, unlike)
    assert "no precision and recall: they need 50 images of each domain" in screen(last, unlike)
    reason = "not compared, as the ground truth has another size than the translation: A2B 2, B2A 2"
    assert reason in screen(altered(last, load_size=None, crop_size=None), unlike)
    assert "not compared" not in screen(last, unlike)


def test_the_table_is_printed_even_if_files_cannot_be_written(last: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="File too large"), largest_file(10):
        main(["--checkpoint", last, *NONE, "--device", "cpu", "--output", "out"])
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


def test_a_sheet_shows_four_enlarged_images_a_line(command: Any, last: str) -> None:
    command("--checkpoint", last, "--features", "none", "--worst", "2")
    with Image.open("out/worst_A2B.jpg") as sheet:
        assert sheet.width == 8 + 4 * (192 + 8)  # 16 × 12 pixels each
        assert 2 * 192 < sheet.height < 3 * 192
