import numpy as np
import pytest
import torch

from cyclegan.images import PixelFormat, Pixels
from cyclegan.images.tensors import grid, normalise, to_pixels, to_tensor, to_uint8, to_view

U16, I16 = PixelFormat(1, "uint16"), PixelFormat(1, "int16")


def test_to_tensor_is_channels_first_in_minus_one_to_one() -> None:
    tensor = to_tensor(np.full((3, 2, 3), (0, 255, 51), np.uint8))
    assert tensor.shape == (3, 3, 2)
    assert tensor[:, 2, 1].tolist() == pytest.approx([-1, 1, 51 / 255 * 2 - 1])
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert to_tensor(values).equal(torch.arange(256).reshape(1, 16, 16).float() / 127.5 - 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_every_value_survives_a_round_trip(dtype: type) -> None:
    limits = np.iinfo(dtype)
    values: Pixels = np.arange(limits.min, limits.max + 1).astype(dtype).reshape(16, -1, 1)
    pixel_format = PixelFormat(1, np.dtype(dtype).name)
    tensor = to_tensor(values, pixel_format)
    assert (tensor.min().item(), tensor.max().item()) == (-1, 1)
    back = to_pixels(tensor, pixel_format)
    assert back.dtype == dtype
    assert np.array_equal(back, values)


def test_range_is_mapped_to_minus_one_to_one_and_clipped() -> None:
    pixel_format = PixelFormat(1, "float32", range=(10, 30))
    values = np.array([[[5], [10], [15], [20], [30], [99]]], np.float32)
    assert to_tensor(values, pixel_format).flatten().tolist() == [-1, -1, -0.5, 0, 1, 1]
    back = to_pixels(torch.tensor([[[-1.0, -0.5, 1.0]]]), pixel_format)
    assert back.dtype == np.float32
    assert back.flatten().tolist() == [10, 15, 30]
    # 12 bits in files of 16: 4095 is white.
    twelve = PixelFormat(1, "uint16", range=(0, 4095))
    assert to_tensor(np.array([[[4095], [5000]]], np.uint16), twelve).flatten().tolist() == [1, 1]
    assert to_pixels(torch.tensor([[[-3.0, 1.0, 3.0]]]), twelve).flatten().tolist() == [0, 4095, 4095]


def test_range_wider_than_the_type_is_clamped() -> None:
    wide = PixelFormat(1, "uint8", range=(-100, 300))
    assert to_pixels(torch.tensor([[[-1.0, 0.0, 1.0]]]), wide).flatten().tolist() == [0, 100, 255]


def test_integers_are_rounded_and_clamped() -> None:
    wanted = torch.tensor([[[0.4, 0.6, 65534.6, -0.6, 65536.0, 1e6]]])
    assert to_pixels(wanted / 32767.5 - 1, U16).flatten().tolist() == [0, 1, 65535, 0, 65535, 65535]
    assert to_pixels(torch.tensor([[[-2.0, 2.0]]]), I16).flatten().tolist() == [-32768, 32767]


def test_float_type_without_a_range_is_refused() -> None:
    with pytest.raises(ValueError, match="float32 need a range"):
        to_tensor(np.zeros((1, 1, 1), np.float32))


def test_input_is_neither_changed_nor_shared() -> None:
    for dtype in (np.uint8, np.float32):
        pixels = np.full((2, 2, 1), 7, dtype)
        pixel_format = PixelFormat(1, range=(0, 10))
        to_tensor(pixels, pixel_format).fill_(0)
        planes = torch.from_numpy(pixels)
        normalise(planes, pixel_format).fill_(0)
        assert (pixels == 7).all()
    image = torch.zeros(1, 2, 2)
    to_pixels(image, PixelFormat(1, "float32", range=(-1, 1))).fill(5)
    assert image.eq(0).all()


def test_to_uint8_rounds_and_clamps() -> None:
    # A plain cast would truncate 0.6 to 0 and wrap -0.6 to 255.
    wanted = torch.tensor([0.4, 0.6, 99.4, 99.6, -0.6, 255.6, 1e6, -1e6])
    assert to_uint8(wanted / 127.5 - 1).tolist() == [0, 1, 99, 100, 0, 255, 255, 0]


def test_to_uint8_computes_in_float32() -> None:
    # -0.98828125 · 127.5 + 127.5 = 1.494; in bfloat16 itself it would be 1.5, and become 2.
    assert to_uint8(torch.tensor([-0.98828125], dtype=torch.bfloat16)).item() == 1
    assert to_uint8(torch.zeros(2, 5, 3, 4, 4)).shape == (2, 5, 3, 4, 4)


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (6, [0, 1, 2])])
def test_to_view_shows_any_number_of_channels(channels: int, shown: list[int]) -> None:
    image = torch.arange(channels).reshape(-1, 1, 1).expand(-1, 2, 4) / 127.5 - 1
    view = to_view(image)
    assert view.shape == (2, 4, 3)
    assert view.dtype == np.uint8
    assert view[1, 3].tolist() == shown


def test_grid_has_a_column_per_tensor() -> None:
    left = torch.stack([torch.full((1, 1, 2), 0.1), torch.full((1, 1, 2), 0.2)])  # two images of 1×2
    right = torch.full((1, 1, 1, 1), 0.3)  # one image of 1×1
    o = 1.0  # white
    expected = torch.tensor(
        [
            [o, o, o, o, o, o],
            [o, 0.1, 0.1, o, 0.3, o],
            [o, o, o, o, o, o],
            [o, 0.2, 0.2, o, o, o],
            [o, o, o, o, o, o],
        ]
    )
    assert grid([left, right], padding=1).equal(expected.expand(3, 5, 6))


def test_grid_takes_columns_of_different_channels() -> None:
    grey, six = torch.zeros(1, 1, 1, 1), torch.arange(6).reshape(1, 6, 1, 1) / 10
    assert grid([grey, six], padding=0)[:, 0].tolist() == torch.tensor([[0, 0.0], [0, 0.1], [0, 0.2]]).tolist()
