"""Trained generators without discriminators, such as the published weights of the authors' code."""

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from cyclegan.images import CONVERSIONS, PixelFormat
from cyclegan.images.lab import Output, coloured
from cyclegan.methods.translator import Batch, Translator
from cyclegan.networks.modes import Mode, apply_in


@final
class TrainedGenerators(Translator):
    """Translates between two domains in one direction, or in both, with trained generators.

    Args:
        generators: by direction, networks with `size_multiple` and `minimum_size`, from images in [-1, 1] to images in
            [-1, 1].
        channels: number of channels of each domain, by name.
        output: what the generators return, see `Pix2Pix`.

    Attributes:
        translate_in: `"eval"`, or `"train"` to translate with dropout and the batch statistics of the image; see
            `apply_in`.
    """

    def __init__(
        self, generators: Mapping[tuple[str, str], nn.Module], channels: Mapping[str, int], output: Output = "image"
    ) -> None:
        super().__init__()
        self.domains = tuple(channels)
        self.output = output
        self.translate_in: Mode = "eval"
        self.directions = tuple(generators)
        for (source, target), generator in generators.items():
            self.add_module(f"gen_{source}{target}".lower(), generator)
        self.channels = dict(channels)
        # Multiples are powers of 2.
        self.size_multiple = max(int(generator.size_multiple) for generator in generators.values())  # type: ignore[arg-type]
        self.minimum_size = max(int(generator.minimum_size) for generator in generators.values())  # type: ignore[arg-type]
        self.minimum_crop = self.minimum_size
        self.pixel_formats = {
            domain: PixelFormat(count, "uint8", convert=CONVERSIONS) for domain, count in self.channels.items()
        }

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        self.require_direction(source, target)
        outputs = apply_in(self.translate_in, self.get_submodule(f"gen_{source}{target}".lower()), images)
        return coloured(images, outputs) if self.output == "ab" else outputs

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        """Return the images of each source and their translations."""
        shown = {}
        for source, target in self.directions:
            shown[f"real_{source}".lower()] = batch[source]
            shown[f"fake_{target}".lower()] = self.translate(batch[source], source, target)
        return shown

    def generators(self) -> Mapping[str, nn.Module]:
        return dict(self.named_children())
