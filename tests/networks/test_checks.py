from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cyclegan.networks.antialiased import AntialiasedPatchDiscriminator, AntialiasedResnetGenerator
from cyclegan.networks.checks import nearest_size
from cyclegan.networks.discogan import DiscoDiscriminator, DiscoGenerator
from cyclegan.networks.dualgan import DualDiscriminator, DualGenerator
from cyclegan.networks.encoder_decoder import EncoderDecoder
from cyclegan.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.networks.strided import StridedDiscriminator
from cyclegan.networks.unet import UnetGenerator

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # with its smallest image side
    "resnet": (lambda: ResnetGenerator(width=2, blocks=1), 8),  # 2 × 2 where the blocks reflect
    "unet": (lambda: UnetGenerator(width=2, downs=4), 2**4),  # 1 × 1 innermost
    "encoder_decoder": (lambda: EncoderDecoder(widths=[2, 4], norm="instance"), 2 * 2**2),  # 2 × 2 innermost
    "disco_generator": (lambda: DiscoGenerator(width=2), 16),  # 1 × 1 innermost, normalised over the batch
    "disco_discriminator": (lambda: DiscoDiscriminator(width=2), 64),  # 32, 16, 8, 4, and 4 - 3 scores
    "dual_generator": (lambda: DualGenerator(width=2, downs=4), 2**4),
    "dual_discriminator": (lambda: DualDiscriminator(width=2, image_size=33), 33),  # 17, 9, 5, 3, 2
    "dual_patch": (lambda: DualDiscriminator(width=2, image_size=None), 33),
    "patch": (lambda: PatchDiscriminator(width=2), 24),  # 12, 6, 3, then 2 and 1 after the convolutions of stride 1
    "patch_1": (lambda: PatchDiscriminator(width=2, layers=1), 6),
    "patch_5": (lambda: PatchDiscriminator(width=2, layers=5), 96),
    "antialiased_resnet": (lambda: AntialiasedResnetGenerator(width=2, blocks=1), 8),
    "antialiased_patch": (lambda: AntialiasedPatchDiscriminator(width=2), 24),  # 12, 6, 3, then 2 and 1, as above
    "pixel": (lambda: PixelDiscriminator(width=2), 2),
    "strided": (lambda: StridedDiscriminator(widths=[2, 4]), 8),  # 4, 2, and 2 + 3 - 3 scores
    "one_score": (lambda: StridedDiscriminator(widths=[2, 4], head_padding=[0, 0, 0, 0]), 16),  # 8, 4, 4 - 3 scores
    "lopsided": (lambda: StridedDiscriminator(widths=[2, 4], head_padding=[0, 1, 0, 0]), 16),
}
every_network = pytest.mark.parametrize(("build", "minimum"), NETWORKS.values(), ids=NETWORKS)


@every_network
def test_smallest_size_works_and_distinguishes_images(build: Callable[[], nn.Module], minimum: int) -> None:
    network = build().double()
    assert network.minimum_size == minimum
    one, other = network(torch.randn(2, 3, minimum, minimum, dtype=torch.float64))
    assert (one - other).abs().max() > 1e-9


@every_network
def test_smaller_image_is_refused_with_the_smallest_valid_size(build: Callable[[], nn.Module], minimum: int) -> None:
    network = build()
    side = minimum - int(getattr(network, "size_multiple", 1))
    remedy = f"{type(network).__name__} takes.*these are {side} × {side}.*data.crop_size={minimum} .*data.load_size"
    with pytest.raises(ValueError, match=remedy):
        network(torch.zeros(1, 3, side, side))


@pytest.mark.parametrize(("name", "multiple"), [("resnet", 4), ("unet", 2**4), ("encoder_decoder", 2**2)])
def test_generators_refuse_sides_that_are_not_multiples(name: str, multiple: int) -> None:
    network = NETWORKS[name][0]()
    assert network.size_multiple == multiple
    for height, width in [(3 * multiple + 1, 2 * multiple), (2 * multiple, 3 * multiple + 1)]:
        with pytest.raises(ValueError, match=f"multiples of {multiple}; these are {height} × {width}"):
            network(torch.zeros(1, 3, height, width))


def test_message_names_the_nearest_valid_size() -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        ResnetGenerator(width=2, blocks=0)(torch.zeros(1, 3, 254, 254))
    assert str(caught.value) == (
        "ResnetGenerator takes images with sides of at least 8, in multiples of 4; these are 254 × 254. "
        "The nearest valid size is 256 × 256: in training data.crop_size=256 sets it, with data.load_size no smaller"
    )
    with pytest.raises(ValueError, match=r"these are 65 × 126\. The nearest valid size is 64 × 128"):
        UnetGenerator(width=2, downs=4)(torch.zeros(1, 3, 65, 126))


@every_network
def test_wrong_number_of_channels_is_refused(build: Callable[[], nn.Module], minimum: int) -> None:
    with pytest.raises(ValueError, match=r"images of 3 channels; these have 4.*model.channels"):
        build()(torch.zeros(1, 4, minimum, minimum))


@pytest.mark.parametrize("images", [torch.zeros(3, 64, 64), torch.zeros(1, 1, 3, 64, 64)])
def test_input_other_than_a_batch_of_images_is_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"takes a batch of images \(N, 3, H, W\); this has shape"):
        ResnetGenerator(width=2, blocks=0)(images)


@given(side=st.integers(0, 3000), minimum=st.integers(1, 600), multiple=st.integers(1, 256))
def test_nearest_size_is_valid_and_none_is_nearer(side: int, minimum: int, multiple: int) -> None:
    def valid(size: int) -> bool:
        return size >= minimum and size % multiple == 0

    nearest = nearest_size(side, minimum=minimum, multiple=multiple)
    assert valid(nearest)
    distance = abs(nearest - side)
    assert not any(valid(size) for size in range(side - distance + 1, side + distance))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ResnetGenerator(blocks=-1), "blocks is -1; it must be 0 or more"),
        (lambda: ResnetGenerator(dropout=1.5), "between 0 and 1"),
        (lambda: ResnetGenerator(upsampling="bilinear"), "'bilinear'; it must be one of transposed, resize"),  # type: ignore[arg-type]
        (lambda: ResnetGenerator(norm="layer"), "one of instance, batch, none"),  # type: ignore[arg-type]
        (lambda: UnetGenerator(downs=1), "downs is 1; it must be 2 or more"),
        (lambda: EncoderDecoder(widths=[]), "widths is 0; it must be 1 or more"),
        (lambda: DualGenerator(downs=1), "downs is 1; it must be 2 or more"),
        (lambda: DualDiscriminator(image_size=32), "image_size is 32; it must be 33 or more"),
        (lambda: PatchDiscriminator(layers=0), "layers is 0; it must be 1 or more"),
        (lambda: PixelDiscriminator(width=-1), "width is -1"),
        (lambda: StridedDiscriminator(widths=(64, 0)), "widths is 0"),
    ],
)
def test_invalid_arguments_are_refused(build: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()
