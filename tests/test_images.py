import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cyclegan.images import ImageError, grid, read, to_image, to_tensor, to_uint8, upright_size, write

RED, WHITE = (255, 0, 0), (255, 255, 255)


def one_pixel(path: Path) -> object:
    return read(path).getpixel((0, 0))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, WHITE),
        ("LA", (77, 255), (77, 77, 77)),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), WHITE),  # what hides below a transparent pixel is not part of the picture
    ],
)
def test_reads_every_8_bit_mode_as_rgb(tmp_path: Path, mode: str, colour: int, expected: object) -> None:
    Image.new(mode, (3, 2), colour).save(tmp_path / "picture.png")
    assert read(tmp_path / "picture.png").size == (3, 2)
    assert one_pixel(tmp_path / "picture.png") == expected


def test_reads_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "opaque.png")
    palette.save(tmp_path / "transparent.png", transparency=bytes([0, 255]))
    assert one_pixel(tmp_path / "opaque.png") == RED
    assert one_pixel(tmp_path / "transparent.png") == WHITE


def test_reads_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "print.tif")
    assert one_pixel(tmp_path / "print.tif") == RED


def test_turns_a_picture_upright(tmp_path: Path) -> None:
    lying = Image.new("RGB", (3, 2))
    lying.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture has to be turned right by 90 degrees
    lying.save(tmp_path / "phone.png", exif=exif)
    upright = read(tmp_path / "phone.png")
    assert upright.size == (2, 3)
    assert upright.getpixel((1, 0)) == RED  # top left comes to be top right


@pytest.mark.parametrize(("suffix", "dtype"), [(".png", np.uint16), (".tif", np.int32), (".tif", np.float32)])
def test_refuses_what_8_bits_would_clip(tmp_path: Path, suffix: str, dtype: type) -> None:
    path = tmp_path / f"depth{suffix}"
    Image.fromarray(np.full((4, 4), 1000, dtype)).save(path)
    with pytest.raises(ImageError, match=r"depth\..*more than the 8 bits.*save it as 8-bit") as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_names_a_truncated_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"half{suffix}"
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    write(noise, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ImageError, match=r"half.*2000 bytes that cannot be read as a picture.*take it out"):
        read(path)


def test_names_a_file_that_is_no_picture_and_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    with pytest.raises(ImageError, match=r"page\.jpg: 16 bytes.*UnidentifiedImageError"):
        read(tmp_path / "page.jpg")
    with pytest.raises(ImageError, match=r"gone\.jpg: there is no such file"):
        read(tmp_path / "gone.jpg")


def test_the_error_survives_the_way_out_of_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(ImageError("a/b.jpg: broken")))
    assert isinstance(error, ImageError)
    assert str(error) == "a/b.jpg: broken"


def test_to_tensor_has_channels_first_and_ends_at_the_ends() -> None:
    image = Image.new("RGB", (3, 2), (0, 255, 51))
    tensor = to_tensor(image)
    assert tensor.shape == (3, 2, 3)
    assert tensor.dtype == torch.float32
    assert tensor[0].eq(-1).all()
    assert tensor[1].eq(1).all()
    torch.testing.assert_close(tensor[2, 0, 0].item(), 51 / 255 * 2 - 1)


def test_all_256_values_survive_the_way_there_and_back() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([values, values.T, 255 - values], axis=-1))
    assert np.array_equal(np.asarray(to_image(to_tensor(image))), np.asarray(image))


def test_to_uint8_rounds_and_clamps() -> None:
    # A cast alone would cut 0.9 to 0 and wrap -0.6 to 255 and 255.6 to 0.
    wanted = torch.tensor([0.4, 0.6, 99.4, 99.6, -0.6, 255.6, 1e6, -1e6])
    assert to_uint8(wanted / 127.5 - 1).tolist() == [0, 1, 99, 100, 0, 255, 255, 0]


def test_to_uint8_counts_in_float32_whatever_comes_in() -> None:
    # -0.98828125 · 127.5 + 127.5 = 1.494; in bfloat16 itself it would be 1.5, and become 2.
    assert to_uint8(torch.tensor([-0.98828125], dtype=torch.bfloat16)).item() == 1
    assert to_uint8(torch.zeros(2, 5, 3, 4, 4)).shape == (2, 5, 3, 4, 4)


@given(st.floats(-1, 1))
def test_saving_moves_a_value_by_half_a_step_at_most(value: float) -> None:
    assert abs(to_uint8(torch.tensor(value)).item() / 127.5 - 1 - value) <= 0.5 / 127.5 + 1e-6


def test_write_png_keeps_and_jpeg_nearly_keeps_a_picture(tmp_path: Path) -> None:
    stripes = torch.tensor([1.0, -1.0, -1.0])[:, None, None].expand(3, 8, 8).clone()
    stripes[:, :, ::2] = torch.tensor([-1.0, -1.0, 1.0])[:, None, None]  # red and blue, a pixel wide
    write(stripes, tmp_path / "new" / "picture.png")
    write(stripes, tmp_path / "new" / "picture.JPG")
    assert to_tensor(read(tmp_path / "new" / "picture.png")).equal(stripes)
    # With JPEG's usual half resolution of colour, red and blue would both become purple, an error near 1.
    assert (to_tensor(read(tmp_path / "new" / "picture.JPG")) - stripes).abs().mean() < 0.1
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["picture.JPG", "picture.png"]


def test_write_leaves_the_old_picture_whole_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    write(torch.zeros(3, 4, 4), path)
    before = path.read_bytes()

    def disk_full(self: Path, data: memoryview) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(OSError, match="no space"):
        write(torch.ones(3, 4, 4), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_write_refuses_other_endings(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"picture\.gif.*\.png or \.jpg, not as \.gif"):
        write(torch.zeros(3, 4, 4), tmp_path / "picture.gif")


def test_grid_puts_tensors_side_by_side_and_their_images_below_each_other() -> None:
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
    assert grid([left, right], padding=1)[0].equal(expected)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_upright_size_is_the_size_that_read_gives(tmp_path: Path, suffix: str) -> None:
    sizes = {}
    for orientation in range(11):  # 1 to 8 have a meaning; cameras also write 0, and damaged files anything
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}{suffix}"
        Image.new("RGB", (3, 2)).save(path, exif=exif)
        sizes[orientation] = upright_size(path)
        assert sizes[orientation] == read(path).size, orientation
    assert [orientation for orientation, size in sizes.items() if size == (2, 3)] == [5, 6, 7, 8]


def test_upright_size_needs_no_pixels_and_names_what_has_none(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    write(torch.rand(3, 64, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1, path)
    path.write_bytes(path.read_bytes()[:2000])
    assert upright_size(path) == (48, 64)
    with pytest.raises(ImageError, match=r"half\.jpg: 2000 bytes"):
        read(path)
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    with pytest.raises(ImageError, match=r"page\.jpg: 16 bytes"):
        upright_size(tmp_path / "page.jpg")
    with pytest.raises(ImageError, match=r"gone\.jpg: there is no such file"):
        upright_size(tmp_path / "gone.jpg")
