import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
import torchvision
from torch import Tensor
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from cyclegan.errors import WeightsError
from cyclegan.metrics.perceptual import Lpips

FILES = {
    "alex": ("alexnet", "alexnet-owt-7be5be79.pth"),
    "squeeze": ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"),
    "vgg": ("vgg16", "vgg16-397923af.pth"),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of torch.hub for random weights; downloads fail."""
    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)

    def fail(*_: object, **__: object) -> None:
        raise OSError("name not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        patch.setattr(torch.hub, "download_url_to_file", fail)
        yield folder


def random_weights(net: str, folder: Path) -> Path:
    """Save random weights under the name and keys of torchvision's file."""
    model, name = FILES[net]
    if not (folder / name).exists():
        torch.manual_seed(0)
        torch.save(getattr(torchvision.models, model)(weights=None).state_dict(), folder / name)
    return folder / name


def images(seed: int, side: int = 64, count: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=rng)


@pytest.mark.parametrize("net", ["alex", "squeeze", pytest.param("vgg", marks=pytest.mark.slow)])
def test_distances_equal_those_of_torchmetrics(hub: Path, net: Literal["alex", "squeeze", "vgg"]) -> None:
    random_weights(net, hub)
    theirs = LearnedPerceptualImagePatchSimilarity(net_type=net, reduction="none")
    a, b = images(0), images(1)
    expected = theirs(a / 127.5 - 1, b / 127.5 - 1)
    found = Lpips(net=net).distances(a, b)
    assert found.shape == (3,)
    assert found.unique().numel() == 3
    torch.testing.assert_close(found, expected)


def test_weights_of_a_given_file_are_used(hub: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    state = torch.load(random_weights("squeeze", hub), weights_only=True)
    torch.save(state, path)
    lpips = Lpips(weights=path, net="squeeze")
    used = dict(lpips.load().named_parameters())
    assert torch.equal(used["net.slices.1.3.squeeze.weight"], state["features.3.squeeze.weight"])
    assert torch.equal(used["net.slices.6.12.expand3x3.bias"], state["features.12.expand3x3.bias"])
    assert lpips.protocol["weights"] == "mine.pth"


@pytest.mark.parametrize(("net", "smallest"), [("alex", 31), ("squeeze", 17)])
def test_images_too_small_for_the_backbone_give_nan(hub: Path, net: Literal["alex", "squeeze"], smallest: int) -> None:
    random_weights(net, hub)
    lpips = Lpips(net=net)
    assert lpips.distances(images(0, smallest), images(1, smallest)).isfinite().all()
    small = lpips.distances(images(0, smallest - 1), images(1, smallest - 1))
    assert small.shape == (3,)
    assert small.isnan().all()


def test_distances_ignore_autocast(hub: Path) -> None:
    random_weights("squeeze", hub)
    lpips = Lpips(net="squeeze")
    expected = lpips.distances(images(0), images(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(lpips.distances(images(0), images(1)), expected)


def test_missing_weights_error_names_a_remedy(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    lpips = Lpips()  # reads nothing yet
    with pytest.raises(WeightsError, match=r"AlexNet are not at .*, and downloading them failed") as caught:
        lpips.distances(images(0), images(1))
    assert "put it at " + str(tmp_path / "hub" / "checkpoints" / FILES["alex"][1]) in str(caught.value)
    assert "perceptual.weights=PATH, or --perceptual-weights PATH; perceptual=none" in str(caught.value)


def test_incompatible_torchmetrics_error_names_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image.lpips", None)
    with pytest.raises(WeightsError, match=r"torchmetrics 1.* lacks its private class .*; perceptual=none"):
        Lpips().load()


def test_weights_of_another_network_are_refused(hub: Path) -> None:
    with pytest.raises(WeightsError, match=r"squeezenet1_1\S+ does not hold the weights of torchvision's AlexNet"):
        Lpips(weights=random_weights("squeeze", hub)).load()


def test_images_other_than_uint8_rgb_are_refused() -> None:
    for other in (torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64).byte()):
        with pytest.raises(ValueError, match=r"take uint8 images \(N, 3, H, W\)"):
            Lpips().distances(images(0, count=1), other)


def test_unknown_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="net is 'resnet'; LPIPS has alex, vgg, squeeze"):
        Lpips(net="resnet")  # type: ignore[arg-type]
