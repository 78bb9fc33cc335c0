"""cyclegan-export: files of one direction, and what uses them."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import cyclegan
from cyclegan.checkpoint.exported import description, write_export
from cyclegan.errors import CheckpointError, InputError
from cyclegan.evaluate import command as evaluate
from cyclegan.export import main
from cyclegan.export.graphs import TOLERANCE, Direction, save_onnx
from cyclegan.images import PixelFormat
from cyclegan.methods.pix2pix import Pix2Pix
from cyclegan.methods.trained_generators import TrainedGenerators
from cyclegan.networks.antialiased import AntialiasedResnetGenerator
from cyclegan.networks.discogan import DiscoGenerator
from cyclegan.networks.dualgan import DualGenerator
from cyclegan.networks.encoder_decoder import EncoderDecoder
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.networks.unet import UnetGenerator
from cyclegan.train.command import train
from cyclegan.train.init_from import initialise
from tests.small import small_cyclegan
from tests.tiny_run import SMALL_NETWORKS, composed

AVERAGED = ("callbacks=ema_short", "features=random", "trainer.max_epochs=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with averaged weights."""
    folder = tmp_path_factory.mktemp("export") / "zebras"
    train(composed(folder, folder.parent / "toy", *SMALL_NETWORKS, *AVERAGED))
    return folder


def translated(translator: Any, images: Tensor, source: str = "A", target: str = "B") -> Tensor:
    with torch.no_grad():
        result: Tensor = translator.translate(images, source, target)
    return result


def test_safetensors_of_a_run_hold_averaged_weights_and_all_that_loading_needs(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main([str(run), "--direction", "B2A"])
    assert "use it: translated = cyclegan.load('zebras_B2A.safetensors').translate(images, 'B', 'A')" in (
        capsys.readouterr().out
    )
    about = json.loads(Path("zebras_B2A.json").read_text())
    assert about["generator"]["_target_"] == "cyclegan.networks.resnet.ResnetGenerator"
    assert about["generator"]["width"] == 4
    assert about["scale"] == {"load_size": 20, "resize": "stretch", "crop_size": 16}
    assert about["training"] == {"name": "toy", "data": "toy", "images": 6}
    assert about["metrics"]["psnr_ba"] > 0
    assert about["protocol"]["images"]["A"] == "2 of testA"

    exported, trained = cyclegan.load("zebras_B2A.safetensors"), cyclegan.load(run)
    assert isinstance(exported, TrainedGenerators)
    assert exported.directions == (("B", "A"),)
    assert exported.scale == trained.scale
    assert exported.pixel_formats["A"] == trained.pixel_formats["A"]
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    difference = translated(exported, images, "B", "A") - translated(trained, images, "B", "A")
    assert difference.abs().max() < 1e-5, "the run's networks are in channels_last, which sums in another order"
    with pytest.raises(SystemExit, match=r"zebras_B2A\.safetensors exists; give another --output"):
        main([str(run), "--direction", "B2A"])
    Path("notes.json").write_text("mine")
    with pytest.raises(SystemExit, match=r"notes\.json exists; give another --output"):
        main([str(run), "--output", "notes.safetensors"])
    with pytest.raises(SystemExit, match=r"--output notes\.json: .* safetensors ends in \.safetensors"):
        main([str(run), "--output", "notes.json"])
    assert Path("notes.json").read_text() == "mine"


def test_an_export_is_exported_again_with_its_history(run: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    main([str(run), "--output", str(first)])
    main([str(first), "--output", str(second)])
    assert first.read_bytes() == second.read_bytes()
    one, other = (json.loads(file.with_suffix(".json").read_text()) for file in (first, second))
    assert one == other
    assert one["method"] == "CycleGAN"


def test_other_commands_read_an_export(run: Path, tmp_path: Path) -> None:
    """Evaluation has the metrics of the run, and a new run begins with the weights."""
    file = tmp_path / "zebras.safetensors"
    main([str(run), "--output", str(file)])
    words = [
        "--checkpoint",
        str(file),
        "--data",
        str(run.parent / "toy"),
        "--features",
        "random",
        "--pairing",
        "by_name",
    ]
    (result,) = evaluate.run(evaluate.build_parser().parse_args([*words, "--output", str(tmp_path / "evaluation")]))
    stored = json.loads(file.with_suffix(".json").read_text())["metrics"]
    for name in ("psnr_ab", "kid_ab", "ssim_ab"):
        assert result.evaluation.metrics[name] == pytest.approx(stored[name], rel=1e-3)
    assert "psnr_ba" not in result.evaluation.metrics

    model = small_cyclegan()
    model.gen_ab = ResnetGenerator(width=4, blocks=1)
    lines = initialise(model, {"gen_ab": str(file)})
    assert lines[0].endswith("16 of 16 tensors")


def test_published_weights_return_to_their_authors_layout_unchanged(tmp_path: Path) -> None:
    """Also by way of safetensors, where the network is recognised by its weights again."""
    torch.manual_seed(0)
    published = ResnetGenerator(width=4, blocks=2).state_dict()
    torch.save(published, tmp_path / "horse2zebra.pth")
    main([str(tmp_path / "horse2zebra.pth"), "--direction", "B2A", "--output", str(tmp_path / "ours.safetensors")])
    about = json.loads((tmp_path / "ours.json").read_text())
    assert (about["generator"], about["direction"]) == (None, ["B", "A"])
    main([str(tmp_path / "ours.safetensors"), "--format", "torch", "--output", str(tmp_path / "theirs.pth")])
    theirs = torch.load(tmp_path / "theirs.pth", weights_only=True)
    assert theirs.keys() == published.keys()
    assert all(torch.equal(theirs[name], value) for name, value in published.items())


def test_pix2pix_keeps_how_it_translates(tmp_path: Path) -> None:
    """Colorization, whose generator returns two channels, in the authors' way of testing."""
    torch.manual_seed(0)
    unet = partial(UnetGenerator, width=4, downs=3, norm="batch", dropout=0.0)
    model = Pix2Pix(unet, output="ab", translate_in="train", channels={"A": 1, "B": 3}).eval()
    model.pixel_formats = {"A": PixelFormat(1, "uint8", lightness=True), "B": PixelFormat(3, "uint8")}
    spec = {"_target_": "cyclegan.networks.unet.UnetGenerator", "width": 4, "downs": 3, "norm": "batch", "dropout": 0.0}
    about = description(model, {"config": {"model": {"generator": spec}}}, "A", "B")
    write_export(
        {name: value.contiguous() for name, value in model.gen.state_dict().items()}, about, tmp_path / "c.safetensors"
    )
    loaded = cyclegan.load(tmp_path / "c.safetensors")
    images = torch.rand(2, 1, 16, 16) * 2 - 1
    assert (translated(loaded, images) - translated(model, images)).abs().max() < 1e-5
    assert loaded.pixel_formats["A"].lightness
    with pytest.raises(InputError, match="a graph translates in eval mode"):
        Direction(loaded, "A", "B", "float")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"generator": {"_target_": "os.system", "command": "true"}}, r"os\.system"),
        ({"direction": None}, "the JSON file beside it is not complete"),
        ({"generator": {"_target_": "cyclegan.networks.resnet.ResnetGenerator", "width": 5}}, "do not fit"),
    ],
)
def test_a_changed_description_is_refused(run: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "a.safetensors"
    main([str(run), "--output", str(file)])
    about = json.loads(file.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps(about | change))
    with pytest.raises(CheckpointError, match=message):
        cyclegan.load(file)


def single(generator: nn.Module, channels: int = 3) -> TrainedGenerators:
    return TrainedGenerators({("A", "B"): generator}, {"A": channels, "B": channels}).eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": partial(ResnetGenerator, width=4, blocks=1),
    "resize": partial(ResnetGenerator, width=4, blocks=1, upsampling="resize"),
    "antialiased": partial(AntialiasedResnetGenerator, width=4, blocks=1),
    "unet": partial(UnetGenerator, width=4, downs=3, norm="batch"),
    "unet of instance norm": partial(UnetGenerator, width=4, downs=3),
    "encoder_decoder": partial(EncoderDecoder, widths=(4, 8)),
    "discogan": partial(DiscoGenerator, width=4),
    "dualgan": partial(DualGenerator, width=4, downs=3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_translates_any_size_as_torch_does(tmp_path: Path, name: str) -> None:
    """Also the smallest size, at which the innermost feature map of a U-Net has one pixel."""
    torch.manual_seed(0)
    translator = single(NETWORKS[name]())
    assert save_onnx(Direction(translator, "A", "B", "float"), tmp_path / "a.onnx", {}) <= TOLERANCE["float"]
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    unit = -(-translator.minimum_size // translator.size_multiple) * translator.size_multiple
    for shape in ((1, 3, unit, unit), (3, 3, 5 * unit, 2 * unit)):
        images = torch.rand(shape) * 2 - 1
        (found,) = session.run(None, {"images": images.numpy()})
        assert np.abs(found - translated(translator, images).numpy()).max() <= 1e-4, shape


def test_uint8_has_the_value_range_inside(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "zebras.onnx"
    main([str(run), "--format", "onnx", "--pixels", "uint8", "--output", str(file)])
    assert "largest difference to torch at three sizes: 0 (limit 1)" in capsys.readouterr().out
    pixels = torch.randint(256, (2, 3, 12, 20), dtype=torch.uint8)
    (found,) = onnxruntime.InferenceSession(file).run(None, {"images": pixels.numpy()})
    wanted = (translated(cyclegan.load(run), pixels / 127.5 - 1) * 127.5 + 127.5).round().clamp(0, 255)
    assert np.abs(found.astype(int) - wanted.numpy()).max() <= 1
    stored = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert stored["pixels"] == "uint8"
    assert json.loads(stored["direction"]) == ["A", "B"]
    assert json.loads(stored["size_multiple"]) == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # torch 2.11, of its own loading
def test_a_program_of_torch_export_translates_any_size(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "zebras.pt2"
    main([str(run), "--format", "torch.export", "--output", str(file)])
    program = torch.export.load(file).module(check_guards=False)
    images = torch.rand(3, 3, 8, 28) * 2 - 1
    assert (program(images) - translated(cyclegan.load(run), images)).abs().max() < 1e-5


def test_a_graph_that_differs_is_not_written(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.export.graphs.save_onnx", lambda *_: 2e-4)
    with pytest.raises(SystemExit, match=r"a\.onnx is not written: its translations differ by 0\.0002 from torch's"):
        main([str(run), "--format", "onnx", "--output", str(tmp_path / "a.onnx")])
    assert not (tmp_path / "a.onnx").exists()


def test_images_of_16_bits_are_no_uint8() -> None:
    translator = single(ResnetGenerator(width=4, blocks=1))
    translator.pixel_formats = dict.fromkeys("AB", PixelFormat(3, "uint16"))
    with pytest.raises(InputError, match="images of domain B are not of 8 bits; export with --pixels float"):
        Direction(translator, "A", "B", "uint8")


def test_a_missing_package_is_named_with_the_remedy(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.export.command.find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"needs the package onnx, .*: pip install 'cyclegan\[export\]'"):
        main([str(run), "--format", "onnx", "--output", str(tmp_path / "a.onnx")])
