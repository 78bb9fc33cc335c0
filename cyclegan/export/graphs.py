"""One direction of a translator as a graph that runs without this package: ONNX and torch.export."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cyclegan.checkpoint.exported import networks_of
from cyclegan.errors import InputError
from cyclegan.images import RGB
from cyclegan.images.tensors import normalise, to_uint8
from cyclegan.methods.translator import Translator

Pixels = Literal["float", "uint8"]

TOLERANCE: dict[Pixels, float] = {"float": 1e-4, "uint8": 1.0}
"""Largest difference to the translator: of values in [-1, 1], or in 0..255, which are rounded."""

OPSET = 20
"""Version of ONNX's operators."""

INPUT, OUTPUT = "images", "translated"


class Direction(nn.Module):
    """One direction of a translator, as a network.

    Args:
        translator: in eval mode.
        source: name of the domain of the images.
        target: name of the domain of their translations.
        pixels: "float": images (N, C, H, W) in [-1, 1]; "uint8": images of 0 to 255. Translations likewise.

    Raises:
        InputError: `pixels` is "uint8", but a domain's images are not of 8 bits.
    """

    def __init__(self, translator: Translator, source: str, target: str, pixels: Pixels) -> None:
        super().__init__()
        if getattr(translator, "translate_in", "eval") != "eval":
            raise InputError("a graph translates in eval mode, without dropout: export with --format safetensors")
        self.translator = copy(translator)
        # In channels_last, the strides of small feature maps would become conditions on the size of the images.
        self.translator._modules = {
            name: deepcopy(network).to(memory_format=torch.contiguous_format)
            for name, network in networks_of(translator, source, target).items()
        }
        self.source, self.target, self.pixels = source, target, pixels
        self.read_as, written_as = (translator.pixel_formats.get(domain, RGB) for domain in (source, target))
        if pixels == "uint8" and (written_as.dtype not in (None, "uint8") or written_as.range is not None):
            raise InputError(f"--pixels uint8: images of domain {target} are not of 8 bits; export with --pixels float")

    @property
    def channels(self) -> int:
        """Number of channels of the input."""
        of_network = self.translator.channels[self.source]
        return self.read_as.decoded.channels if self.pixels == "uint8" else of_network

    def forward(self, images: Tensor) -> Tensor:
        """Translate images (N, C, H, W), of sides that are multiples of `size_multiple`."""
        seen = normalise(images, self.read_as) if self.pixels == "uint8" else images
        translated = self.translator.translate(seen, self.source, self.target)
        return to_uint8(translated) if self.pixels == "uint8" else translated

    def example(self, batch: int, rows: int, columns: int) -> Tensor:
        """Return random images (batch, C, H, W); H and W are `rows` and `columns` times the size multiple, or more."""
        multiple = self.translator.size_multiple
        least = -(-self.translator.minimum_size // multiple)
        sides = ((least - 1 + count) * multiple for count in (rows, columns))
        images = torch.rand(batch, self.channels, *sides, generator=torch.Generator().manual_seed(0))
        return to_uint8(2 * images - 1) if self.pixels == "uint8" else 2 * images - 1


def export(direction: Direction) -> torch.export.ExportedProgram:
    """Trace a direction; the batch size, height and width may change."""
    translator = direction.translator
    least = -(-translator.minimum_size // translator.size_multiple)
    rows, columns = (torch.export.Dim(name, min=least) for name in ("rows", "columns"))
    shape = {0: torch.export.Dim("batch"), 2: translator.size_multiple * rows, 3: translator.size_multiple * columns}
    with torch.no_grad():
        return torch.export.export(direction, (direction.example(2, 3, 4),), dynamic_shapes=(shape,))


def save_torch_export(direction: Direction, path: Path, about: Mapping[str, Any]) -> float:
    """Write a direction for `torch.export.load`; return the largest difference to the translator."""
    program = export(direction)
    difference = largest_difference(direction, program.module(check_guards=False))
    with path.open("wb") as file:
        torch.export.save(program, file, extra_files=strings(direction, about))
    return difference


def save_onnx(direction: Direction, path: Path, about: Mapping[str, Any]) -> float:
    """Write a direction as ONNX; return the largest difference of ONNX Runtime's results to the translator's."""
    import onnxruntime

    with _quiet():
        program = torch.onnx.export(
            export(direction),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(strings(direction, about))
    program.save(path)
    session = onnxruntime.InferenceSession(path)

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return largest_difference(direction, run)


def strings(direction: Direction, about: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known of a direction as texts: JSON, but for texts."""
    values = {**about, "pixels": direction.pixels, "input": f"{direction.channels} channels"}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def largest_difference(direction: Direction, graph: Callable[[Tensor], Tensor]) -> float:
    """Return the largest difference between a graph and its direction, at the traced size and at two others."""
    found = 0.0
    with torch.inference_mode():
        for size in ((2, 3, 4), (1, 5, 2), (3, 1, 1)):
            images = direction.example(*size)
            found = max(found, (graph(images).float() - direction(images).float()).abs().max().item())
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that the exporter uses
        yield
