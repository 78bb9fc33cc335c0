"""The published generators in plain PyTorch, layer by layer as their authors write them, in any width."""

from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

NormLayer = Callable[[int], nn.Module]
NORMS: dict[str, NormLayer] = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}


class Block(nn.Module):
    """`x + conv_block(x)`; PyTorch-GAN calls the layers `block`."""

    def __init__(self, channels: int, norm: NormLayer = nn.InstanceNorm2d, dropout: bool = False) -> None:
        super().__init__()
        bias = norm is not nn.BatchNorm2d
        drop: list[nn.Module] = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels), nn.ReLU(), *drop,
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)  # type: ignore[no-any-return]


class Generator(nn.Module):
    """Layers called `model`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)  # type: ignore[no-any-return]


def resnet(
    w: int = 4, blocks: int = 1, norm: NormLayer = nn.InstanceNorm2d, dropout: bool = False, resize: bool = False,
    channels: tuple[int, int] = (3, 3),
) -> Generator:  # fmt: skip
    """CycleGAN's network; with `resize` PyTorch-GAN's."""
    bias = norm is not nn.BatchNorm2d

    def up(a: int, b: int) -> list[nn.Module]:
        if resize:
            return [nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, 1, 1, bias=bias)]
        return [nn.ConvTranspose2d(a, b, 3, 2, 1, 1, bias=bias)]

    return Generator(
        nn.ReflectionPad2d(3), nn.Conv2d(channels[0], w, 7, bias=bias), norm(w), nn.ReLU(),
        nn.Conv2d(w, 2 * w, 3, 2, 1, bias=bias), norm(2 * w), nn.ReLU(),
        nn.Conv2d(2 * w, 4 * w, 3, 2, 1, bias=bias), norm(4 * w), nn.ReLU(),
        *[Block(4 * w, norm, dropout) for _ in range(blocks)],
        *up(4 * w, 2 * w), norm(2 * w), nn.ReLU(),
        *up(2 * w, w), norm(w), nn.ReLU(),
        nn.ReflectionPad2d(3), nn.Conv2d(w, channels[1], 7), nn.Tanh(),
    )  # fmt: skip


class Resampling(nn.Module):
    """CUT's Downsample (3 taps) and Upsample (4 taps)."""

    def __init__(self, channels: int, taps: tuple[float, ...]) -> None:
        super().__init__()
        filt = torch.outer(torch.tensor(taps), torch.tensor(taps))
        scale = 1 if len(taps) == 3 else 4
        self.register_buffer("filt", (scale * filt / filt.sum()).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        filt = self.get_buffer("filt")
        if filt.shape[-1] == 3:
            return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), filt, stride=2, groups=x.shape[1])
        padded = F.pad(x, (1, 1, 1, 1), "replicate")
        return F.conv_transpose2d(padded, filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]


def cut(w: int = 4, blocks: int = 2, channels: tuple[int, int] = (3, 3)) -> Generator:
    down, up, norm = (1.0, 2.0, 1.0), (1.0, 3.0, 3.0, 1.0), nn.InstanceNorm2d
    return Generator(
        nn.ReflectionPad2d(3), nn.Conv2d(channels[0], w, 7), norm(w), nn.ReLU(),
        nn.Conv2d(w, 2 * w, 3, 1, 1), norm(2 * w), nn.ReLU(), Resampling(2 * w, down),
        nn.Conv2d(2 * w, 4 * w, 3, 1, 1), norm(4 * w), nn.ReLU(), Resampling(4 * w, down),
        *[Block(4 * w) for _ in range(blocks)],
        Resampling(4 * w, up), nn.Conv2d(4 * w, 2 * w, 3, 1, 1), norm(2 * w), nn.ReLU(),
        Resampling(2 * w, up), nn.Conv2d(2 * w, w, 3, 1, 1), norm(w), nn.ReLU(),
        nn.ReflectionPad2d(3), nn.Conv2d(w, channels[1], 7), nn.Tanh(),
    )  # fmt: skip


class Skip(Generator):
    """A level of pix2pix's U-Net below the outermost."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


def unet(w: int = 2, downs: int = 8, norm: NormLayer = nn.BatchNorm2d, channels: tuple[int, int] = (3, 3)) -> Generator:
    bias = norm is not nn.BatchNorm2d
    widths = [w * min(2**level, 8) for level in range(downs)]
    level = None
    for outer, inner in reversed(list(pairwise(widths))):
        down = [nn.LeakyReLU(0.2, True), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)]
        drop: list[nn.Module] = [nn.Dropout(0.5)] if level and outer == inner else []
        middle: list[nn.Module] = [norm(inner), level] if level else []
        up = nn.ConvTranspose2d(2 * inner if level else inner, outer, 4, 2, 1, bias=bias)
        level = Skip(*down, *middle, nn.ReLU(True), up, norm(outer), *drop)
    assert level is not None
    outermost = Generator(
        nn.Conv2d(channels[0], w, 4, 2, 1, bias=bias), level, nn.ReLU(True),
        nn.ConvTranspose2d(2 * w, channels[1], 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    whole = Generator()
    whole.model = outermost  # type: ignore[assignment]
    return whole


def trained(network: Generator, images: Tensor) -> Generator:
    """Return the network in eval mode, with weights and running statistics that are not those of a new one."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.rand_like(parameter) * 0.4 - 0.2)
            else:
                nn.init.normal_(parameter, std=0.02)  # as the authors initialise
        network.train()(images)
    return network.eval()


WRITERS: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "old.pth": lambda weights, path: torch.save(weights, path, _use_new_zipfile_serialization=False),
    "new.pt": torch.save,
    "net.safetensors": lambda weights, path: save_file(weights, path),
}


WRAPPERS = ("", "module.", "_orig_mod.", "_orig_mod.module.")
KINDS = tuple(product(WRITERS, WRAPPERS))


def saved(weights: dict[str, Tensor], folder: Path, number: int) -> Path:
    """Write weights in a format and under the names of a wrapper: those of `KINDS` in turn."""
    name, wrapper = KINDS[number % len(KINDS)]
    WRITERS[name]({f"{wrapper}{key}": value for key, value in weights.items()}, folder / name)
    return folder / name
