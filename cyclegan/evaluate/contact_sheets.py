"""Sheets of the worst and the best images: what went in, what came out, the answer, and the way back."""

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
from cyclegan.validation.per_image import Direction

SMALLEST, LARGEST = 192, 512
"""Pixels: smaller images are shown enlarged by a whole number, larger ones shrunk."""
GAP, TEXT = 8, 16

Row = dict[str, Any]


def ranked(images: Sequence[Row], direction: Direction) -> tuple[str, list[Row]]:
    """A direction's images, the worst first.

    Args:
        images: rows of an `Evaluation`.
        direction: (source, target).

    Returns:
        by what they are sorted, "psnr" where answers are known and else "cycle", and the rows that have it; none if
        neither was measured.
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
    """Writes worst_A2B.jpg and best_A2B.jpg, and so on; those of directions that are not asked for are removed.

    Args:
        folder: where they go.
        translator: in eval mode.
        held_out: the images that were measured.
        images: rows of an `Evaluation`.
        directions: that are shown.
        count: images on a sheet, if there are so many.
        checkpoint: its name, for the title.

    Raises:
        OSError: they cannot be written.
    """
    for direction in translator.directions:
        name, rows = ranked(images, direction)
        by = "PSNR to the known answer" if name == "psnr" else "cycle L1"
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
    """Draws a line of images for each row.

    Args:
        translator: in eval mode; it translates these images once more.
        held_out: where the rows' images are.
        direction: (source, target).
        rows: of an `Evaluation`, of this direction, at least one.
        title: stands at the top.

    Returns:
        pixels (H, W, 3).
    """
    source, target = direction
    lines = [(caption(row), strip(translator, held_out, direction, row)) for row in rows]
    heads = [source, f"translated to {target}"]
    heads += [f"right answer in {target}"] if any("answer" in images for _, images in lines) else []
    heads += [f"and back to {source}"] if any("back" in images for _, images in lines) else []
    kinds = ["input", "output"] + [k for k in ("answer", "back") if any(k in images for _, images in lines)]
    width = max(image.width for _, images in lines for image in images.values())
    heights = [max(image.height for image in images.values()) for _, images in lines]
    font = ImageFont.load_default(13)
    page = Image.new(
        "RGB",
        (GAP + len(kinds) * (width + GAP), GAP + 2 * (TEXT + GAP) + sum(h + TEXT + 2 * GAP for h in heights)),
        "white",
    )
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP), fitted(title, page.width - 2 * GAP, font), "black", font)
    for place, head in enumerate(heads):
        draw.text((GAP + place * (width + GAP), 2 * GAP + TEXT), fitted(head, width, font), "black", font)
    top = 2 * (TEXT + GAP) + GAP
    for (words, images), height in zip(lines, heights, strict=True):
        for place, kind in enumerate(kinds):
            if kind in images:
                page.paste(images[kind], (GAP + place * (width + GAP), top))
        draw.text((GAP, top + height + 2), fitted(words, page.width - 2 * GAP, font), "black", font)
        top += height + TEXT + 2 * GAP
    return np.asarray(page)


def strip(translator: Translator, held_out: HeldOut, direction: Direction, row: Row) -> dict[str, Image.Image]:
    """One row's images by kind: input, output, and answer and back where there are such."""
    source, target = direction
    index = index_of(held_out, source, row["image"])
    image = held_out.image(source, index)
    assert image is not None, "it was measured"
    parameter = next(translator.parameters())
    inputs = image[None].to(parameter.device, parameter.dtype)
    output = translator.translate(inputs, source, target)
    found = {"input": image, "output": output[0]}
    known = held_out.answers.get(direction, {})
    answer = held_out.image(target, known[index]) if index in known else None
    if answer is not None:
        found["answer"] = answer
    if (target, source) in translator.directions:
        found["back"] = translator.translate(output, target, source)[0]
    return {kind: visible(each) for kind, each in found.items()}


def index_of(held_out: HeldOut, domain: str, path: str) -> int:
    """Which of a domain's images has this path."""
    return next(index for index in held_out.indices[domain] if held_out.path(domain, index) == path)


def visible(image: Tensor) -> Image.Image:
    """An image (C, H, W) in [-1, 1] in a size that can be looked at."""
    tile = Image.fromarray(to_view(image))
    longest = max(tile.size)
    if longest > LARGEST:
        size = [max(1, round(side * LARGEST / longest)) for side in tile.size]
        return tile.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    times = -(-SMALLEST // longest)
    return tile.resize((tile.width * times, tile.height * times), Image.Resampling.NEAREST)


def caption(row: Row) -> str:
    """A row's image and what was measured of it."""
    words = [row["image"].replace("\\", "/").rpartition("/")[2]]
    if "psnr" in row:
        words.append(f"PSNR {row['psnr']:.2f} dB ({row['psnr_copied']:.2f} untouched)" if "psnr_copied" in row
                     else f"PSNR {row['psnr']:.2f} dB")  # fmt: skip
    words += [f"{title} {row[name]:.4f}" for name, title in (("cycle", "cycle L1"), ("lpips", "LPIPS")) if name in row]
    return "   ".join(words)


def fitted(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of a text as is no wider than so many pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
