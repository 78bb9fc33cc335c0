"""Published weights, written by the authors' networks in plain PyTorch, translate as these networks do."""

import copy
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import cyclegan
from cyclegan import translate
from cyclegan.errors import CheckpointError, UserError
from cyclegan.methods.trained_generators import TrainedGenerators
from cyclegan.networks.antialiased import AntialiasedPatchDiscriminator
from cyclegan.networks.discogan import DiscoGenerator
from cyclegan.networks.dualgan import DualGenerator
from cyclegan.networks.encoder_decoder import EncoderDecoder
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.networks.unet import UnetGenerator
from tests.checkpoint.published_layouts import NORMS, Generator, cut, resnet, saved, trained, unet
from tests.command_line import contents


def random_images(size: int = 16, channels: int = 3, count: int = 2) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


def assert_translates_like(theirs: Generator, path: Path, images: Tensor) -> None:
    """Compare with the network in float32 up to its own rounding, which instance norm enlarges, and in float64."""
    before = torch.get_rng_state()
    translator = cyclegan.load(path)
    assert torch.equal(torch.get_rng_state(), before), "no initial weights are drawn"
    assert all(parameter.dtype == torch.float32 for parameter in translator.parameters())
    with torch.no_grad():
        expected, found = theirs(images), translator.translate(images, "A", "B")
        exact = copy.deepcopy(theirs).double()(images.double())
        precise = translator.double().translate(images.double(), "A", "B")
    rounding = float((expected - exact).abs().max())
    assert rounding < 5e-6
    torch.testing.assert_close(
        found, exact.float(), atol=1e-6 + 2 * rounding, rtol=0, msg=lambda text: f"{path}: {text}"
    )
    torch.testing.assert_close(precise, exact, atol=1e-9, rtol=0)
    assert translator.pixel_formats["A"].channels == images.shape[1]
    assert translator.pixel_formats["B"].channels == expected.shape[1]


def test_resnets_of_cyclegan_and_pytorch_gan(tmp_path: Path) -> None:
    structures = product((False, True), NORMS, (False, True), (1, 2), ((3, 3), (1, 2)))
    for number, (resize, norm, dropout, blocks, channels) in enumerate(structures):
        images = random_images(channels=channels[0])
        theirs = trained(resnet(4, blocks, NORMS[norm], dropout, resize, channels), images)
        weights = theirs.state_dict()
        if resize and blocks == 2:  # PyTorch-GAN's name
            weights = {name.replace("conv_block", "block"): value for name, value in weights.items()}
        assert_translates_like(theirs, saved(weights, tmp_path, number), images)


def test_the_antialiased_resnets_of_cut(tmp_path: Path) -> None:
    for number, (blocks, channels) in enumerate(product((1, 2, 6), ((3, 3), (3, 3), (1, 2), (2, 1)))):
        images = random_images(channels=channels[0])
        theirs = trained(cut(4, blocks, channels), images)
        assert_translates_like(theirs, saved(theirs.state_dict(), tmp_path, number), images)


def test_unets_of_pix2pix(tmp_path: Path) -> None:
    for number, (downs, norm, channels) in enumerate(product((7, 8), NORMS, ((3, 3), (1, 2), (3, 1)))):
        images = random_images(2**downs, channels[0])
        theirs = trained(unet(2, downs, NORMS[norm], channels), images)
        path = saved(theirs.state_dict(), tmp_path, number)
        assert_translates_like(theirs, path, images)
        assert cyclegan.load(path).size_multiple == 2**downs


def test_files_of_torch_0_3(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They hold running statistics of instance norm, and of batch norm no counts."""
    path, images = tmp_path / "net.pth", random_images()
    theirs = trained(resnet(), images)
    torch.save(
        theirs.state_dict() | {"model.2.running_mean": torch.ones(4), "model.2.running_var": torch.ones(4)}, path
    )
    assert_translates_like(theirs, path, images)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 2 running statistics of instance norm dropped"
    ]
    images = random_images(8)
    for theirs in (trained(unet(2, 3), images), trained(resnet(norm=nn.BatchNorm2d), images)):
        weights = theirs.state_dict()
        torch.save({name: t for name, t in weights.items() if not name.endswith("num_batches_tracked")}, path)
        assert_translates_like(theirs, path, images)


@pytest.mark.parametrize(
    "network",
    [
        ResnetGenerator(width=4, blocks=2, upsampling="resize", out_channels=1),
        UnetGenerator(width=2, downs=4),
        EncoderDecoder(widths=(2, 4, 6), in_channels=1),
        EncoderDecoder(widths=(2, 4), norm="instance"),
        DiscoGenerator(width=2, out_channels=2),
        DiscoGenerator(width=2, bottleneck=3),
        DualGenerator(width=2, downs=5, in_channels=1),
    ],
)
def test_state_dicts_of_this_packages_networks(tmp_path: Path, network: nn.Module) -> None:
    images = random_images(64, channels=int(network.in_channels))  # type: ignore[arg-type]
    network.eval()
    path = saved(network.state_dict(), tmp_path, 8)
    assert torch.equal(cyclegan.load(path).translate(images, "A", "B"), network(images))


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    theirs = trained(resnet(), random_images()).half().float()
    torch.save(theirs.half().state_dict(), tmp_path / "net.pth")
    assert_translates_like(theirs.float(), tmp_path / "net.pth", random_images())


def test_a_translated_file_differs_by_one_of_255_at_most(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 24, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    theirs = trained(cut(), random_images())
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    words = ("--checkpoint", tmp_path / "net.pth", "--input", tmp_path / "in", "--output", tmp_path / "out")
    translate.main([*map(str, words), "--device", "cpu"])
    with torch.no_grad():
        fake = theirs(torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None].float())
    expected = ((fake[0].permute(1, 2, 0) + 1) * 127.5).round().numpy()
    found = np.asarray(Image.open(tmp_path / "out" / "a.png"), dtype=np.float32)
    assert np.abs(found - expected).max() <= 1


# ------------------------------------------------------------------------------------ pix2pix's way of testing


def test_training_mode_uses_dropout_and_each_images_statistics(tmp_path: Path) -> None:
    images = random_images(64)
    theirs = trained(unet(2, 6), images)
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    translator = cyclegan.load(tmp_path / "net.pth", translate_in="train")
    torch.manual_seed(1)
    found = translator.translate(images, "A", "B")
    assert not torch.equal(found, translator.translate(images, "A", "B")), "another mask"
    kept = translator.generators()["gen_ab"].state_dict()
    assert all(torch.equal(kept[name], value) for name, value in theirs.state_dict().items())
    torch.manual_seed(1)
    theirs.train()
    torch.testing.assert_close(found, torch.cat([theirs(image[None]) for image in images]), atol=1e-6, rtol=0)


def test_the_command_line_has_the_option(tmp_path: Path) -> None:
    torch.save(trained(unet(2, 6), random_images(64)).state_dict(), tmp_path / "net.pth")
    (tmp_path / "in").mkdir()
    Image.new("RGB", (64, 64), "red").save(tmp_path / "in" / "a.png")
    words = ["--checkpoint", str(tmp_path / "net.pth"), "--input", str(tmp_path / "in"), "--device", "cpu"]
    for mode in ("eval", "train"):
        translate.main([*words, "--output", str(tmp_path / mode), "--translate-in", mode])
    assert contents(tmp_path / "eval") != contents(tmp_path / "train")


# ------------------------------------------------------------------------------------ folders, names, directions


def test_a_folder_of_the_authors_code_has_both_directions(tmp_path: Path) -> None:
    images = random_images()
    there, back = trained(resnet(4), images), trained(resnet(6, 2), images)
    torch.save(there.state_dict(), tmp_path / "latest_net_G_A.pth")
    torch.save(back.state_dict(), tmp_path / "latest_net_G_B.pth")
    translator = cyclegan.load(tmp_path)
    assert translator.directions == (("A", "B"), ("B", "A"))
    torch.testing.assert_close(translator.translate(images, "A", "B"), there(images), atol=1e-6, rtol=0)
    torch.testing.assert_close(translator.translate(images, "B", "A"), back(images), atol=1e-6, rtol=0)
    shown = translator.visuals({"A": images, "B": images})
    assert list(shown) == ["real_a", "fake_b", "real_b", "fake_a"]
    torch.testing.assert_close(shown["fake_a"], back(images), atol=1e-6, rtol=0)

    torch.save(resnet(channels=(1, 3)).state_dict(), tmp_path / "latest_net_G_B.pth")
    with pytest.raises(CheckpointError, match="its generators have 3 and 1 channels of B"):
        cyclegan.load(tmp_path)


def test_a_folder_of_cut_has_one_direction(tmp_path: Path) -> None:
    theirs = trained(cut(), random_images())
    torch.save(theirs.state_dict(), tmp_path / "latest_net_G.pth")
    torch.save(AntialiasedPatchDiscriminator(width=2).state_dict(), tmp_path / "latest_net_D.pth")
    assert_translates_like(theirs, tmp_path, random_images())


def test_a_single_generator_has_the_direction_that_is_asked_for(tmp_path: Path) -> None:
    theirs, images = trained(resnet(channels=(1, 3)), random_images(channels=1)), random_images(channels=1)
    torch.save(theirs.state_dict(), tmp_path / "zebra2horse.pth")
    translator = cyclegan.load(tmp_path / "zebra2horse.pth")
    with pytest.raises(UserError, match="no direction B2A; it has A2B"):
        translator.translate(images, "B", "A")
    assert translator.discriminator_score(images, "A") is None
    translator = cyclegan.load(tmp_path / "zebra2horse.pth", direction="B2A")
    torch.testing.assert_close(translator.translate(images, "B", "A"), theirs(images), atol=1e-6, rtol=0)
    assert translator.channels == {"B": 1, "A": 3}


def test_a_name_is_looked_up_among_downloaded_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache" / "weights").mkdir(parents=True)
    torch.save(resnet(4).state_dict(), tmp_path / "cache" / "weights" / "horse2zebra.pth")

    def width() -> int:
        translator = cyclegan.load("horse2zebra")
        assert isinstance(translator, TrainedGenerators)
        return len(translator.state_dict()["gen_ab.model.1.bias"])

    assert width() == 4
    torch.save(resnet(6).state_dict(), tmp_path / "horse2zebra")
    assert width() == 6, "a file of this name comes first"
    with pytest.raises(CheckpointError, match="no checkpoint at zebra2horse"):
        cyclegan.load("zebra2horse")


# ------------------------------------------------------------------------------------ what is refused


def test_unknown_state_dicts_are_described_with_the_nearest_network(tmp_path: Path) -> None:
    generator = resnet(4, 2).state_dict()
    del generator["model.12.bias"]
    generator["model.1.weight"] = torch.zeros(4, 3, 7, 7)
    unknown = {"encoder.weight": torch.zeros(3, 2), "encoder.bias": torch.zeros(3)}
    cases = {
        "The nearest is ResnetGenerator: 1 missing (model.12.bias)": generator,
        "The nearest is AntialiasedPatchDiscriminator, a discriminator: 'init_from={disc_b: ": (
            AntialiasedPatchDiscriminator().state_dict()
        ),
        "Found: encoder.weight (3, 2), encoder.bias (3,). Known are ResnetGenerator, ": unknown,
        "None is near": unknown,
    }
    for message, weights in cases.items():
        torch.save(weights, tmp_path / "net.pth")
        with pytest.raises(CheckpointError) as raised:
            cyclegan.load(tmp_path / "net.pth")
        assert message in str(raised.value)


def test_safetensors_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.safetensors"
    save_file(resnet().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"net\.safetensors is damaged or is no safetensors file"):
        cyclegan.load(path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(
        CheckpointError,
        match=r"needs the package safetensors, .*: pip install 'cyclegan\[export\]'",
    ):
        cyclegan.load(path)


def test_a_method_without_two_modes_refuses_the_option(tmp_path: Path) -> None:
    from tests.checkpoint.test_loading import save, small_config

    save(tmp_path / "a.ckpt", small_config())
    with pytest.raises(CheckpointError, match=r"CycleGAN has no translate_in, only its eval mode"):
        cyclegan.load(tmp_path / "a.ckpt", translate_in="train")
