"""Contact sheets of the worst and best images: input, translation, ground truth, and reconstruction."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
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
        rows = [row for row in mine if name in row and not isnan(row[name])]
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
        translator: in eval mode.
        held_out: the images that were measured.
        images: rows of an `Evaluation`.
        directions: the directions to show.
        count: largest number of images on a sheet.
        checkpoint: the checkpoint's name for the title.

    Raises:
        OSError: a file cannot be written.
    """
    for direction in translator.directions:
        name, rows = ranked(images, direction)
        by = "PSNR" if name == "psnr" else "cycle L1"
        for kind, shown in (("worst", rows[:count]), ("best", rows[-count:][::-1])):
            file = folder / f"{kind}_{'2'.join(direction)}.jpg"
            if direction in directions and shown:
                title = f"{checkpoint}: {kind} {len(shown)} of {len(rows)} by {by}"
                write(sheet(translator, held_out, direction, shown, title), file, quality=92)
            else:
                file.unlink(missing_ok=True)  # of an earlier evaluation


@torch.no_grad()
def sheet(
    translator: Translator, held_out: HeldOut, direction: Direction, rows: Sequence[Row], title: str
) -> NDArray[np.uint8]:
    """Draw a sheet with a line of images for each row.

    Args:
        translator: in eval mode; it translates these images again.
        held_out: the images that were measured.
        direction: (source, target).
        rows: rows of an `Evaluation` of this direction, at least one.
        title: the sheet's title.

    Returns:
        pixels (H, W, 3).
    """
    source, target = direction
    lines = [(_caption(row), _images(translator, held_out, direction, row)) for row in rows]
    titles = {
        "input": source,
        "output": f"translated to {target}",
        "truth": f"ground truth in {target}",
        "back": f"reconstructed {source}",
    }
    kinds = [kind for kind in titles if any(kind in images for _, images in lines)]
    width = max(image.width for _, images in lines for image in images.values())
    heights = [max(image.height for image in images.values()) for _, images in lines]
    font = ImageFont.load_default(13)
    page = Image.new(
        "RGB",
        (GAP + len(kinds) * (width + GAP), GAP + 2 * (TEXT + GAP) + sum(h + TEXT + 2 * GAP for h in heights)),
        "white",
    )
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP), title, "black", font)
    for place, kind in enumerate(kinds):
        draw.text((GAP + place * (width + GAP), 2 * GAP + TEXT), titles[kind], "black", font)
    top = 2 * (TEXT + GAP) + GAP
    for (words, images), height in zip(lines, heights, strict=True):
        for place, kind in enumerate(kinds):
            if kind in images:
                page.paste(images[kind], (GAP + place * (width + GAP), top))
        draw.text((GAP, top + height + 2), words, "black", font)
        top += height + TEXT + 2 * GAP
    return np.asarray(page)


def _images(translator: Translator, held_out: HeldOut, direction: Direction, row: Row) -> dict[str, Image.Image]:
    source, target = direction
    index = next(index for index in held_out.indices[source] if held_out.path(source, index) == row["image"])
    image = held_out.image(source, index)
    assert image is not None, "it was measured"
    parameter = next(translator.parameters())
    inputs = image[None].to(parameter.device, parameter.dtype)
    output = translator.translate(inputs, source, target)
    found = {"input": image, "output": output[0]}
    pairs = held_out.ground_truth.get(direction, {})
    truth = held_out.image(target, pairs[index]) if index in pairs else None
    if truth is not None:
        found["truth"] = truth
    if (target, source) in translator.directions:
        found["back"] = translator.translate(output, target, source)[0]
    return {kind: _visible(each) for kind, each in found.items()}


def _visible(image: Tensor) -> Image.Image:
    tile = Image.fromarray(to_view(image))
    longest = max(tile.size)
    if longest > LARGEST:
        size = [max(1, round(side * LARGEST / longest)) for side in tile.size]
        return tile.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    times = -(-SMALLEST // longest)
    return tile.resize((tile.width * times, tile.height * times), Image.Resampling.NEAREST)


def _caption(row: Row) -> str:
    words = [row["image"].replace("\\", "/").rpartition("/")[2]]
    if "psnr" in row:
        words.append(f"PSNR {row['psnr']:.2f} dB ({row['psnr_copied']:.2f} untouched)" if "psnr_copied" in row
                     else f"PSNR {row['psnr']:.2f} dB")  # fmt: skip
    words += [f"{title} {row[name]:.4f}" for name, title in (("cycle", "cycle L1"), ("lpips", "LPIPS")) if name in row]
    return "   ".join(words)
