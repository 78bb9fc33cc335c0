"""Loading bare state dicts of published ResNet generators, built here in plain PyTorch."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import cyclegan
from cyclegan.errors import UserError


class Block(nn.Module):
    """`x + conv_block(x)`, reflect-pad, conv, norm, ReLU, [dropout], reflect-pad, conv, norm."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module], dropout: bool) -> None:
        super().__init__()
        bias = norm is not nn.BatchNorm2d
        drop = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels), nn.ReLU(), *drop,
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)  # type: ignore[no-any-return]


class PublishedGenerator(nn.Module):
    def __init__(self, width: int, blocks: int, norm: Callable[[int], nn.Module], dropout: bool, outputs: int) -> None:
        super().__init__()
        w, bias = width, norm is not nn.BatchNorm2d
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7, bias=bias), norm(w), nn.ReLU(),
            nn.Conv2d(w, 2 * w, 3, 2, 1, bias=bias), norm(2 * w), nn.ReLU(),
            nn.Conv2d(2 * w, 4 * w, 3, 2, 1, bias=bias), norm(4 * w), nn.ReLU(),
            *[Block(4 * w, norm, dropout) for _ in range(blocks)],
            nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, 1, bias=bias), norm(2 * w), nn.ReLU(),
            nn.ConvTranspose2d(2 * w, w, 3, 2, 1, 1, bias=bias), norm(w), nn.ReLU(),
            nn.ReflectionPad2d(3), nn.Conv2d(w, outputs, 7), nn.Tanh(),
        )  # fmt: skip


@pytest.mark.parametrize("wrapper", ["", "module."])
@pytest.mark.parametrize(
    ("width", "blocks", "norm", "dropout", "outputs"),
    [
        (4, 2, nn.InstanceNorm2d, False, 3),
        (6, 1, nn.InstanceNorm2d, True, 1),
        (4, 3, nn.BatchNorm2d, False, 3),
    ],
)
def test_published_state_dict_translates_like_its_network(
    tmp_path: Path,
    width: int,
    blocks: int,
    norm: Callable[[int], nn.Module],
    dropout: bool,
    outputs: int,
    wrapper: str,
) -> None:
    torch.manual_seed(0)
    theirs = PublishedGenerator(width, blocks, norm, dropout, outputs)
    images = torch.rand(2, 3, 16, 20) * 2 - 1
    theirs.model.train()(images)  # updates the statistics of batch norm
    weights = {f"{wrapper}{name}": value for name, value in theirs.state_dict().items()}
    if norm is nn.InstanceNorm2d:  # as in files from before torch 0.4
        weights |= {f"{wrapper}model.2.running_mean": torch.ones(width), f"{wrapper}model.2.running_var": torch.ones(1)}
    torch.save(weights, tmp_path / "horse2zebra.pth")

    translator = cyclegan.load(tmp_path / "horse2zebra.pth")
    with torch.no_grad():
        expected = theirs.eval().double().model(images.double())
        found = translator.double().translate(images.double(), "A", "B")
    assert found.shape == (2, outputs, 16, 20)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    assert translator.pixel_formats["B"].channels == outputs
    with pytest.raises(UserError, match="no direction B2A; it has A2B"):
        translator.translate(images, "B", "A")
    assert translator.discriminator_score(images, "A") is None
