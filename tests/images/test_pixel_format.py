import pytest

from cyclegan.images import PixelFormat


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"channels": 0}, "channels=0"),
        ({"dtype": "float64"}, "one of uint8, uint16, int16, float32"),
        ({"range": (1, 1)}, "smaller one first"),
        ({"range": (0, float("inf"))}, "two finite numbers"),
        ({"page": -1}, "counted from 0"),
        ({"convert": ("alfa",)}, "alfa is none of alpha, grey, cmyk"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PixelFormat(**arguments)  # type: ignore[arg-type]


def test_bounds_are_the_range_or_the_limits_of_the_type() -> None:
    assert PixelFormat().bounds("uint8") == (0, 255)
    assert PixelFormat().bounds("uint16") == (0, 65535)
    assert PixelFormat().bounds("int16") == (-32768, 32767)
    assert PixelFormat(range=(3, 4)).bounds("uint8") == (3, 4)
    with pytest.raises(ValueError, match="int32 need a range"):
        PixelFormat().bounds("int32")
