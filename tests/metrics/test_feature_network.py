from importlib import metadata
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from cyclegan.metrics.feature_network import AnyNetwork, FeatureNetwork, signed, versioned


def random_images(count: int = 2, side: int = 16, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=rng)


class Means(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


class Constant(nn.Module):
    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, images: Tensor) -> Any:
        return self.output


def test_network_gets_images_in_minus_one_to_one() -> None:
    black_grey_white = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 8, 8)
    expected = torch.tensor([-1.0, -0.6, 1.0])[:, None].expand(3, 3)
    torch.testing.assert_close(AnyNetwork(Means(), size=None).features(black_grey_white), expected)


def test_feature_maps_are_averaged_over_height_and_width() -> None:
    network = nn.Conv2d(3, 5, 3)
    images = random_images()
    torch.testing.assert_close(
        AnyNetwork(network, size=None).features(images), network(images / 127.5 - 1).mean((2, 3))
    )


@pytest.mark.parametrize(("side", "size"), [(40, 16), (16, 24)])
def test_resizing_equals_pillow(side: int, size: int) -> None:
    image = random_images(1, side)
    planes = [
        np.asarray(Image.fromarray(plane.float().numpy()).resize((size, size), Image.Resampling.BILINEAR))
        for plane in image[0]
    ]
    expected = torch.from_numpy(np.stack(planes)) / 127.5 - 1
    torch.testing.assert_close(signed(image, size, antialias=True)[0], expected, atol=1e-5, rtol=0)


def test_resizing_without_antialias_takes_the_nearest_pixels() -> None:
    rows = torch.tensor([0, 100, 200, 255, 0, 50, 0, 250], dtype=torch.uint8)
    image = rows.view(1, 1, 1, 8).expand(1, 3, 8, 8)
    # A quarter of the size samples between the second and third of every four pixels.
    expected = torch.tensor([150.0, 25.0]) / 127.5 - 1
    torch.testing.assert_close(signed(image, 2, antialias=False), expected.expand(1, 3, 2, 2))


def test_network_is_put_into_eval_mode() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9)).train()
    images = random_images()
    expected = (images / 127.5 - 1).mean((2, 3)) / (1 + 1e-5) ** 0.5
    features = AnyNetwork(network, size=None).features(images)
    torch.testing.assert_close(features, expected)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_features_ignore_autocast() -> None:
    network = AnyNetwork(nn.Conv2d(3, 5, 3), size=None)
    expected = network.features(random_images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network.features(random_images()), expected)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ((torch.zeros(2, 4),), r"must return a tensor \(2, D\) of 2 images; it returned a tuple"),
        (torch.zeros(3, 4), r"it returned a tensor \(3, 4\)"),
        (torch.tensor([[1.0, torch.inf], [0.0, 0.0]]), "returned features that are not finite"),
    ],
)
def test_output_other_than_finite_vectors_is_refused(output: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"Constant.*{message}"):
        AnyNetwork(Constant(output), size=None).features(random_images(2))


def test_network_that_is_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the feature network is a dict; give an nn\.Module"):
        AnyNetwork({}, size=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8).byte(), torch.zeros(3, 8, 8).byte()]
)
def test_images_that_are_not_8_bit_rgb_are_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match="take uint8 images"):
        AnyNetwork(Means(), size=None).features(images)


def test_protocol_states_network_and_resizing() -> None:
    network = AnyNetwork(torchvision.ops.Conv2dNormActivation(3, 4), size=64, antialias=False)
    assert network.protocol == {
        "network": "torchvision.ops.misc.Conv2dNormActivation",
        "library": f"torchvision {metadata.version('torchvision')}",
        "size": 64,
        "filter": "bilinear",
        "antialias": False,
        "input_range": [-1, 1],
    }
    without_resizing = AnyNetwork(Means(), size=None).protocol
    assert (without_resizing["size"], without_resizing["filter"], without_resizing["antialias"]) == (None, None, None)
    assert versioned("no_such_package") == "no_such_package"


def test_digest_depends_on_weights_and_settings() -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(3, 5, 3)
    network.register_buffer("coarse", torch.ones(2).bfloat16())  # a dtype that NumPy lacks
    digests = [AnyNetwork(network, size).digest() for size in (None, 64)]
    digests.append(AnyNetwork(network, 64, antialias=False).digest())
    with torch.no_grad():
        network.weight[0, 0, 0, 0] += 1
    digests.append(AnyNetwork(network, None).digest())
    # Networks whose weights are the same, but not their code.
    digests += [AnyNetwork(Constant(torch.full((1, 2), value)), None).digest() for value in (1.0, 2.0)]
    assert len(set(digests)) == len(digests)
    assert {len(digest) for digest in digests} == {64}
    assert AnyNetwork(network, None).digest() == AnyNetwork(network, None).to("cpu").digest() == digests[3]


class Counting(FeatureNetwork):
    built = 0

    @property
    def protocol(self) -> dict[str, Any]:
        return {"network": "counting"}

    def build(self) -> nn.Module:
        self.built += 1
        return nn.Linear(3, 2)


def test_network_is_built_once_without_global_random_numbers() -> None:
    before = torch.get_rng_state()
    network = Counting().to("cpu")
    assert network.built == 0
    assert network.load() is network.load()
    network.digest()
    assert network.built == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_network_moves_before_and_after_loading() -> None:
    network = AnyNetwork(nn.Conv2d(3, 5, 3), size=None).to("meta")
    assert {parameter.device.type for parameter in network.load().parameters()} == {"meta"}
    loaded = AnyNetwork(nn.Conv2d(3, 5, 3), size=None)
    loaded.load()
    assert {parameter.device.type for parameter in loaded.to("meta").load().parameters()} == {"meta"}
