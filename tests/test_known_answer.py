import math

import pytest
import torch

from cyclegan.known_answer import psnr


def test_psnr_of_hand_computed_pictures() -> None:
    answers = torch.full((3, 3, 2, 2), -1.0)
    images = answers.clone()
    images[0] = 1.0  # all of 255 wrong everywhere: 0 dB
    images[1, 0, 0, 0] = 1.0  # one of twelve values wrong: 10·log10(12)
    expected = torch.tensor([0.0, 10 * math.log10(12), math.inf], dtype=torch.float64)
    torch.testing.assert_close(psnr(images, answers), expected)


def test_psnr_is_that_of_pictures_rounded_to_8_bits() -> None:
    answers = torch.zeros(1, 3, 2, 2)  # 127.5, saved as 128
    assert psnr(answers + 0.9 / 127.5, answers).isinf().all()  # 128.4, saved as 128
    one_off = psnr(answers + 1.1 / 127.5, answers)  # 128.6, saved as 129
    assert one_off.item() == pytest.approx(20 * math.log10(255))


def test_psnr_does_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) and answers \(1, 3, 4, 4\)"):
        psnr(torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4))
