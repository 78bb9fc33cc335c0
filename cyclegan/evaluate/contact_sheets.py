"""Contact sheets of the worst and best images: input, translation, ground truth, and reconstruction."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from cyclegan.data.held_out import HeldOut
from cyclegan.images import write
from cyclegan.images.tensors import to_view
from cyclegan.methods.translator import Translator
from cyclegan.validation.catalogue import Direction

SMALLEST, LARGEST = 192, 512
"""Sides in pixels: smaller images are enlarged by an integer, larger ones shrunk."""
GAP, TEXT = 8, 16

Row = dict[str, Any]


def ranked(images: Sequence[Row], direction: Direction) -> tuple[str, list[Row]]:
    """Return the metric that ranks the images of a direction, and their rows, the worst first.

    The metric is "psnr" if images are paired, else "cycle"; rows without it are left out.
    """
    mine = [row for row in images if row["direction"] == "2".join(direction)]
    for name, sign in (("psnr", 1), ("cycle", -1)):
        rows = [row for row in mine if not isnan(row.get(name, float("nan")))]
        if rows:
            return name, sorted(rows, key=lambda row: sign * row[name])
    return "cycle", []


def write_sheets(
    folder: Path,
    translator: Translator,
    held_out: HeldOut,
    images: Sequence[Row],
    directions: Sequence[Direction],
    count: int,
    checkpoint: str,
) -> None:
    """Write worst_A2B.jpg, best_A2B.jpg and so on; remove those of other directions from an earlier evaluation.

    Args:
        folder: where to write.
        translator: in eval mode; it translates the images of the sheets again.
        held_out: the images that were measured.
        images: rows of an `Evaluation`.
        directions: the directions to show.
        count: largest number of images on a sheet.
        checkpoint: the checkpoint's name for the title.
    """
    for direction in translator.directions:
        name, rows = ranked(images, direction)
        by = "PSNR" if name == "psnr" else "cycle L1"
        for kind, shown in (("worst", rows[:count]), ("best", rows[-count:][::-1])):
            file = folder / f"{kind}_{'2'.join(direction)}.jpg"
            if direction in directions and shown:
                title = f"{checkpoint}: {kind} {len(shown)} of {len(rows)} by {by}"
                lines = [(_caption(row), _tiles(translator, held_out, direction, row)) for row in shown]
                write(sheet(title, lines), file, quality=92)
            else:
                file.unlink(missing_ok=True)  # of an earlier evaluation


def sheet(title: str, lines: Sequence[tuple[str, dict[str, Image.Image]]]) -> NDArray[np.uint8]:
    """Draw a sheet.

    Args:
        title: the sheet's title.
        lines: caption and images of each line; the images by the title of their column.

    Returns:
        pixels (H, W, 3).
    """
    columns = list(dict.fromkeys(column for _, tiles in lines for column in tiles))
    side = max(max(tile.size) for _, tiles in lines for tile in tiles.values())
    head, line = 2 * (TEXT + GAP) + GAP, side + TEXT + 2 * GAP
    page = Image.new("RGB", (GAP + len(columns) * (side + GAP), head + len(lines) * line), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    draw.text((GAP, GAP), title, "black", font)
    for x, column in enumerate(columns):
        draw.text((GAP + x * (side + GAP), TEXT + 2 * GAP), column, "black", font)
    for y, (caption, tiles) in enumerate(lines):
        top = head + y * line
        for x, column in enumerate(columns):
            if column in tiles:
                page.paste(tiles[column], (GAP + x * (side + GAP), top))
        draw.text((GAP, top + side + 2), caption, "black", font)
    return np.asarray(page)


@torch.no_grad()
def _tiles(translator: Translator, held_out: HeldOut, direction: Direction, row: Row) -> dict[str, Image.Image]:
    source, target = direction
    index = next(index for index in held_out.indices[source] if held_out.path(source, index) == row["image"])
    image = held_out.image(source, index)
    assert image is not None, "it was measured"
    parameter = next(translator.parameters())
    output = translator.translate(image[None].to(parameter.device, parameter.dtype), source, target)
    found = {source: image, f"translated to {target}": output[0]}
    pairs = held_out.ground_truth.get(direction, {})
    if index in pairs and (truth := held_out.image(target, pairs[index])) is not None:
        found[f"ground truth in {target}"] = truth
    if (target, source) in translator.directions:
        found[f"reconstructed {source}"] = translator.translate(output, target, source)[0]
    return {column: _visible(each) for column, each in found.items()}


def _visible(image: Tensor) -> Image.Image:
    tile = Image.fromarray(to_view(image))
    if max(tile.size) > LARGEST:
        return ImageOps.contain(tile, (LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return ImageOps.scale(tile, -(-SMALLEST // max(tile.size)), Image.Resampling.NEAREST)


def _caption(row: Row) -> str:
    words = [row["image"].replace("\\", "/").rpartition("/")[2]]
    if "psnr" in row:
        untouched = f" ({row['psnr_copied']:.2f} untouched)" if "psnr_copied" in row else ""
        words.append(f"PSNR {row['psnr']:.2f} dB{untouched}")
    words += [f"{title} {row[name]:.4f}" for name, title in (("cycle", "cycle L1"), ("lpips", "LPIPS")) if name in row]
    return "   ".join(words)
