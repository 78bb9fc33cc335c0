"""Pixel formats in the checkpoint, which translations are written with."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import cyclegan
from cyclegan.callbacks.run_state import RunState
from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.domains import Domain
from cyclegan.errors import CheckpointError
from cyclegan.images import PixelFormat, header, read
from cyclegan.images.tensors import to_tensor
from cyclegan.methods.cyclegan import LossWeights
from cyclegan.translate import main
from tests.small import small_cyclegan
from tests.toy_runs import fit_toy


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a run from 12-bit images in 16-bit files to colour, beside its images."""
    root = tmp_path_factory.mktemp("trained")
    for split in ("train", "test"):
        (root / f"{split}A").mkdir()
        (root / f"{split}B").mkdir()
        for i in range(2):
            pixels = np.random.default_rng(i).integers(0, 4096, (20, 20), dtype=np.uint16)
            tifffile.imwrite(root / f"{split}A" / f"{i}.tif", pixels)
            Image.fromarray((pixels // 16).astype(np.uint8)).convert("RGB").save(root / f"{split}B" / f"{i}.png")
    domains = {"A": Domain(channels=1, range=[0, 4095]), "B": Domain()}
    small = {"_partial_": True, "width": 4}
    model = {
        "_target_": "cyclegan.methods.cyclegan.CycleGAN",
        "channels": {"A": 1, "B": 3},
        "loss_weights": {"_target_": "cyclegan.methods.cyclegan.LossWeights", "identity": 0.0},
        "generator": {"_target_": "cyclegan.networks.resnet.ResnetGenerator", **small, "blocks": 1},
        "discriminator": {"_target_": "cyclegan.networks.patchgan.PatchDiscriminator", **small, "layers": 1},
    }
    network = small_cyclegan(channels={"A": 1, "B": 3}, loss_weights=LossWeights(identity=0.0))
    data = ImageDataModule(root, None, 16, num_workers=0, domains=domains)
    fit_toy(network, data, RunState({"model": model})).save_checkpoint(root / "run.ckpt")
    return root / "run.ckpt"


def test_a_checkpoint_holds_the_pixel_formats(checkpoint: Path) -> None:
    entry = torch.load(checkpoint, weights_only=True)["pixel_formats"]
    assert entry["A"] == {
        "channels": 1, "dtype": "uint16", "range": (0.0, 4095.0), "page": 0, "convert": (), "lightness": False,
    }  # fmt: skip
    formats = {"A": PixelFormat(1, "uint16", (0.0, 4095.0)), "B": PixelFormat(3, "uint8")}
    assert cyclegan.load(checkpoint).pixel_formats == formats


@pytest.mark.parametrize(("direction", "channels", "dtype"), [("A2B", 3, "uint8"), ("B2A", 1, "uint16")])
def test_translations_have_the_channels_and_depth_of_training(
    checkpoint: Path, tmp_path: Path, direction: str, channels: int, dtype: str
) -> None:
    source = checkpoint.parent / f"test{direction[0]}"
    main(["--checkpoint", str(checkpoint), "--input", str(source), "--output", str(tmp_path),
          "--direction", direction, "--device", "cpu"])  # fmt: skip
    found = header(tmp_path / "0.png")
    assert (found.channels, found.dtype, found.width, found.height) == (channels, dtype, 20, 20)

    translator = cyclegan.load(checkpoint)
    formats = translator.pixel_formats
    image = to_tensor(read(sorted(source.iterdir())[0], formats[direction[0]]), formats[direction[0]])
    with torch.no_grad():
        expected = translator.translate(image[None], direction[0], direction[2])[0]
    written = read(tmp_path / "0.png", formats[direction[2]]).astype(np.float64)
    half = 4095 / 2 if dtype == "uint16" else 127.5
    assert np.abs(written - (expected.permute(1, 2, 0).numpy() + 1) * half).max() <= 0.51, "rounded to the nearest step"


def test_an_output_format_that_cannot_store_them_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    source, output = checkpoint.parent / "testB", tmp_path / "out"
    words = ["--checkpoint", str(checkpoint), "--input", str(source), "--output", str(output)]
    with pytest.raises(SystemExit, match=r"--format jpg cannot store the 1 channels of uint16 .*: use --format png"):
        main([*words, "--direction", "B2A", "--format", "jpg"])
    assert not output.exists()


def test_translation_refuses_lossy_conversions_unless_allowed(checkpoint: Path, tmp_path: Path) -> None:
    image, output = tmp_path / "glass.png", tmp_path / "out"
    Image.new("RGBA", (20, 20), (255, 0, 0, 128)).save(image)
    words = ["--checkpoint", str(checkpoint), "--input", str(image), "--output", str(output), "--direction", "B2A"]
    with pytest.raises(SystemExit, match="1 of the images could not be translated"):
        main(words)
    main([*words, "--convert", "alpha"])
    assert (output / "glass.png").exists()


def test_an_older_checkpoint_without_formats_is_8_bit(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    del content["pixel_formats"]
    torch.save(content, tmp_path / "old.ckpt")
    formats = cyclegan.load(tmp_path / "old.ckpt").pixel_formats
    assert formats["A"] == PixelFormat(1, "uint8", convert=("alpha", "grey", "cmyk"))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"channels": 1, "dtype": "text", "range": None, "page": 0, "convert": []}, "cannot be used .*dtype=text"),
        ({"channels": 7, "range": None, "convert": []}, "contradicts itself: images of 7 channels, networks of 1"),
    ],
)
def test_a_checkpoint_with_an_invalid_entry_is_refused(
    checkpoint: Path, tmp_path: Path, entry: object, words: str
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["pixel_formats"]["A"] = entry
    torch.save(content, tmp_path / "run.ckpt")
    with pytest.raises(CheckpointError, match=words):
        cyclegan.load(tmp_path / "run.ckpt")
