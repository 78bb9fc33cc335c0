"""A trained generator without a discriminator, such as the published weights of the authors' code."""

from collections.abc import Mapping

from torch import Tensor, nn

from cyclegan.images import CONVERSIONS, PixelFormat
from cyclegan.methods.translator import Batch, Translator


class SingleGenerator(Translator):
    """Translates images of domain A into domain B with a trained generator.

    Args:
        generator: network with `size_multiple` and `minimum_size`, from images in [-1, 1] to images in [-1, 1].
        in_channels: number of channels of domain A.
        out_channels: number of channels of domain B.
    """

    domains = ("A", "B")
    directions = (("A", "B"),)

    def __init__(self, generator: nn.Module, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.gen_ab = generator
        self.channels = {"A": in_channels, "B": out_channels}
        self.size_multiple = int(generator.size_multiple)  # type: ignore[arg-type]
        self.minimum_size = self.minimum_crop = int(generator.minimum_size)  # type: ignore[arg-type]
        self.pixel_formats = {
            domain: PixelFormat(channels, "uint8", convert=CONVERSIONS) for domain, channels in self.channels.items()
        }

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        self.require_direction(source, target)
        translated: Tensor = self.gen_ab(images)
        return translated

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return the images of A and their translations."""
        return {"real_a": batch["A"], "fake_b": self.gen_ab(batch["A"])}

    def generators(self) -> Mapping[str, nn.Module]:
        return {"gen_ab": self.gen_ab}
