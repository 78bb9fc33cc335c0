import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cyclegan.networks.checks import nearest_size
from cyclegan.networks.encoder_decoder import EncoderDecoder
from cyclegan.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.networks.strided import StridedDiscriminator
from cyclegan.networks.unet import UnetGenerator


def small(name: str) -> nn.Module:
    networks: dict[str, nn.Module] = {
        "resnet": ResnetGenerator(width=2, blocks=1),
        "unet": UnetGenerator(width=2, downs=4),
        "encoder_decoder": EncoderDecoder(widths=[2, 4], norm="instance"),
        "patch": PatchDiscriminator(width=2),
        "patch_1": PatchDiscriminator(width=2, layers=1),
        "patch_5": PatchDiscriminator(width=2, layers=5),
        "pixel": PixelDiscriminator(width=2),
        "strided": StridedDiscriminator(widths=[2, 4]),
        "one_score": StridedDiscriminator(widths=[2, 4], head_padding=[0, 0, 0, 0]),
        "lopsided": StridedDiscriminator(widths=[2, 4], head_padding=[0, 1, 0, 0]),
    }
    return networks[name]


MINIMUM_SIZES = {
    "resnet": 8,  # 2 × 2 where the blocks reflect
    "unet": 2**4,  # 1 × 1 innermost
    "encoder_decoder": 2 * 2**2,  # 2 × 2 innermost
    "patch": 24,  # 12, 6, 3, then 2 and 1 by the convolutions of stride 1
    "patch_1": 6,
    "patch_5": 96,
    "pixel": 2,
    "strided": 8,  # 4, 2, and 2 + 3 - 3 scores
    "one_score": 16,  # 8, 4, and 4 - 3 scores
    "lopsided": 16,
}
NAMES = list(MINIMUM_SIZES)


def step_of(network: nn.Module) -> int:
    return int(getattr(network, "size_multiple", 1))


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_size_works_and_still_tells_images_apart(name: str) -> None:
    network = small(name).double()
    side = MINIMUM_SIZES[name]
    assert network.minimum_size == side
    one, other = network(torch.randn(2, 3, side, side, dtype=torch.float64))
    assert (one - other).abs().max() > 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_a_smaller_image_is_refused_with_the_smallest_right_size(name: str) -> None:
    network = small(name)
    minimum = MINIMUM_SIZES[name]
    side = minimum - step_of(network)
    remedy = f"{type(network).__name__} takes.*these are {side} × {side}.*data.crop_size={minimum} .*data.load_size"
    with pytest.raises(ValueError, match=remedy):
        network(torch.zeros(1, 3, side, side))


@pytest.mark.parametrize(("name", "multiple"), [("resnet", 4), ("unet", 2**4), ("encoder_decoder", 2**2)])
def test_generators_refuse_what_is_no_multiple(name: str, multiple: int) -> None:
    network = small(name)
    assert network.size_multiple == multiple
    assert network(torch.zeros(1, 3, 2 * multiple, 3 * multiple)).shape == (1, 3, 2 * multiple, 3 * multiple)
    for height, width in [(3 * multiple + 1, 2 * multiple), (2 * multiple, 3 * multiple + 1)]:
        with pytest.raises(ValueError, match=f"multiples of {multiple}; these are {height} × {width}"):
            network(torch.zeros(1, 3, height, width))


def test_the_message_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        ResnetGenerator(width=2, blocks=0)(torch.zeros(1, 3, 254, 254))
    assert str(caught.value) == (
        "ResnetGenerator takes images with sides of at least 8, in multiples of 4; these are 254 × 254. "
        "The nearest valid size is 256 × 256: in training data.crop_size=256 sets it, with data.load_size no smaller"
    )


def test_both_sides_of_an_oblong_image_get_their_nearest_size() -> None:
    with pytest.raises(ValueError, match=r"these are 65 × 126\. The nearest valid size is 64 × 128"):
        UnetGenerator(width=2, downs=4)(torch.zeros(1, 3, 65, 126))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_are_refused(name: str, channels: int) -> None:
    with pytest.raises(ValueError, match=f"images of 3 channels; these have {channels}.*model.channels"):
        small(name)(torch.zeros(1, channels, 64, 64))


@pytest.mark.parametrize("images", [torch.zeros(3, 64, 64), torch.zeros(1, 1, 3, 64, 64)])
def test_anything_but_a_batch_of_images_is_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"takes a batch of images \(N, 3, H, W\); this has shape"):
        small("resnet")(images)


@given(side=st.integers(0, 3000), minimum=st.integers(1, 600), multiple=st.integers(1, 256))
def test_nearest_size_is_right_and_none_is_nearer(side: int, minimum: int, multiple: int) -> None:
    def right(size: int) -> bool:
        return size >= minimum and size % multiple == 0

    nearest = nearest_size(side, minimum=minimum, multiple=multiple)
    assert right(nearest)
    distance = abs(nearest - side)
    assert not any(right(size) for size in range(side - distance + 1, side + distance))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ResnetGenerator(blocks=-1), "blocks is -1; it must be 0 or more"),
        (lambda: ResnetGenerator(width=0), "width is 0; it must be 1 or more"),
        (lambda: ResnetGenerator(in_channels=0), "in_channels is 0"),
        (lambda: ResnetGenerator(dropout=1.5), "between 0 and 1"),
        (lambda: ResnetGenerator(upsampling="bilinear"), "'bilinear'; it must be one of transposed, resize"),  # type: ignore[arg-type]
        (lambda: ResnetGenerator(norm="layer"), "one of instance, batch, none"),  # type: ignore[arg-type]
        (lambda: UnetGenerator(downs=1), "downs is 1; it must be 2 or more"),
        (lambda: UnetGenerator(out_channels=0), "out_channels is 0"),
        (lambda: EncoderDecoder(widths=[]), "widths is "),
        (lambda: EncoderDecoder(widths=[64, 0]), r"widths is \[64, 0\]"),
        (lambda: PatchDiscriminator(layers=0), "layers is 0; it must be 1 or more"),
        (lambda: PixelDiscriminator(width=-1), "width is -1"),
        (lambda: StridedDiscriminator(widths=()), "widths is "),
        (lambda: StridedDiscriminator(head_padding=(1, 1)), "left, right, top, bottom"),
        (lambda: StridedDiscriminator(head_padding=(1, 1, 1, -1)), "left, right, top, bottom"),
    ],
)
def test_senseless_arguments_are_refused(build: type[nn.Module], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()
