import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorInceptionV3
from torch_fidelity.utils import create_feature_extractor

from cyclegan.errors import WeightsError
from cyclegan.metrics.inception import Inception


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights with the keys of torch-fidelity, scaled so that signals do not vanish."""
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=empty)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def inception(weights: Path) -> Inception:
    return Inception(weights=str(weights))


def random_images(side: int, count: int = 2) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=rng)


def test_features_equal_those_of_torch_fidelity(inception: Inception, weights: Path) -> None:
    theirs = create_feature_extractor(
        "inception-v3-compat", ["2048"], cuda=False, verbose=False, feature_extractor_weights_path=str(weights)
    )
    images = random_images(48)
    features = inception.features(images)
    assert features.shape == (2, 2048)
    assert (features[0] - features[1]).abs().max() > 0.01
    with torch.no_grad():
        torch.testing.assert_close(features, theirs(images)[0], rtol=0, atol=0)


def test_resizing_follows_the_protocol(inception: Inception) -> None:
    """Halving the size takes every second pixel: no half-pixel centres and no antialiasing."""
    images = random_images(2 * inception.protocol["size"], count=1)
    torch.testing.assert_close(inception.features(images), inception.features(images[..., ::2, ::2]), rtol=0, atol=0)
    assert inception.protocol["antialias"] is False


def test_input_range_follows_the_protocol(inception: Inception) -> None:
    seen: list[Tensor] = []
    first = next(layer for layer in inception.load().modules() if isinstance(layer, nn.Conv2d))
    hook = first.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    halves = torch.tensor([0, 255], dtype=torch.uint8).repeat_interleave(150)[:299]
    inception.features(halves.expand(1, 3, 299, 299))
    hook.remove()
    assert [seen[0].min().item(), seen[0].max().item()] == inception.protocol["input_range"]


def test_protocol_states_the_name_of_the_weights_file(inception: Inception) -> None:
    assert inception.protocol["weights"] == "inception.pth"
    assert inception.protocol["library"].startswith("torch-fidelity 0.")
    assert Inception().protocol["weights"] == "the library's"


def test_missing_weights_error_names_a_remedy() -> None:
    with pytest.raises(WeightsError, match=r"no weights of torch-fidelity's .* at lost.pth") as caught:
        Inception("lost.pth").load()
    assert "Download weights-inception-2015-12-05-6726825d.pth" in str(caught.value)
    assert "features.weights=PATH, or --feature-weights PATH; features=none" in str(caught.value)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"other.pth does not hold the weights of torch-fidelity's.*Missing key"):
        Inception(path).digest()
