"""cyclegan-translate: translate images with a trained checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from cyclegan import cli
from cyclegan.data.file_list import LIST_SUFFIX, Files, find_files
from cyclegan.data.sizes import AS_IT_IS, Scale, target_size
from cyclegan.errors import DataError, InputError, UserError, is_out_of_memory
from cyclegan.images import (
    CONVERSIONS,
    MAX_PIXELS,
    RGB,
    ImageError,
    PixelFormat,
    can_hold,
    header,
    read,
    require_suitable,
    suffix_for,
    write,
)

# torch is imported where it is used, so that --help answers without it.
if TYPE_CHECKING:
    from cyclegan.methods.translator import Translator

PROGRAM = "cyclegan-translate"


@dataclass(frozen=True)
class Job:
    """An image to translate, with its (width, height) in the file, after resizing, and after padding."""

    source: Path
    target: Path
    given: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]


def translate_files(
    translator: Translator,
    pairs: Sequence[tuple[Path, Path]],
    direction: tuple[str, str],
    scale: Scale = AS_IT_IS,
    output_size: str = "resized",
    batch_size: int = 1,
    device: str = "cpu",
    quality: int = 95,
    max_pixels: int = MAX_PIXELS,
    precision: str = "float32",
) -> list[str]:
    """Translate image files of any size: resize, pad by reflection to the network's multiple, translate, crop.

    Args:
        translator: a translator in eval mode.
        pairs: for each image its path and the path of its translation.
        direction: (source, target) domain.
        scale: how images are resized before the translation.
        output_size: "resized" writes translations at that size, "input" at the size of the input file.
        batch_size: number of images in a batch; all have the same padded size.
        device: torch's name of the device.
        quality: quality of JPEG files.
        max_pixels: width × height of the largest image that is decoded.
        precision: "float32", or "bfloat16" for torch.autocast.

    Returns:
        the reason for each image that could not be translated.
    """
    import torch

    from cyclegan.data.transforms import resized
    from cyclegan.images.tensors import to_pixels, to_tensor
    from cyclegan.methods.image_input import padded, padded_size

    translator = translator.to(device)
    multiple, minimum = translator.size_multiple, translator.minimum_size
    read_as, written_as = (translator.pixel_formats.get(domain, RGB) for domain in direction)
    jobs: list[Job] = []
    failed: list[str] = []
    for source, target in pairs:
        try:
            found = header(source, read_as)
            require_suitable(found, read_as, str(source), max_pixels)
        except ImageError as error:
            failed.append(str(error))
            continue
        size = target_size(found.width, found.height, *scale)
        jobs.append(Job(source, target, (found.width, found.height), size, padded_size(*size, multiple, minimum)))

    def translate(batch: Sequence[Job]) -> None:
        images = []
        for job in batch:
            width, height = job.resized
            # JPEG files are decoded at a reduced size where that suffices, as in training.
            pixels = resized(read(job.source, read_as, (2 * width, 2 * height), max_pixels), width, height)
            images.append(to_tensor(padded(pixels, *job.padded), read_as))
        with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=precision == "bfloat16"):
            outputs = translator.translate(torch.stack(images).to(device), *direction).float().cpu()
        for job, output in zip(batch, outputs, strict=True):
            width, height = job.resized
            pixels = to_pixels(output[..., :height, :width], written_as)
            size = job.given if output_size == "input" else job.resized
            write(resized(pixels, *size), job.target, quality=quality)

    def attempt(batch: Sequence[Job]) -> None:
        try:
            translate(batch)
            return
        except Exception as error:
            if not isinstance(error, UserError | OSError) and not is_out_of_memory(error):
                raise
            reason = explained(error, batch[0], device)
        # Here the exception no longer holds the memory of the failed batch.
        if len(batch) == 1:
            failed.append(reason)
        else:  # one by one, so that only the images that fail are lost
            for job in batch:
                attempt([job])

    with tqdm(total=len(jobs), unit="img", disable=None) as bar, torch.inference_mode():
        by_size = attrgetter("padded")
        for _, group in groupby(sorted(jobs, key=by_size), by_size):
            same = list(group)
            for start in range(0, len(same), batch_size):
                batch = same[start : start + batch_size]
                attempt(batch)
                bar.update(len(batch))
    return failed


def explained(error: Exception, job: Job, device: str) -> str:
    """Return the reason why an image was not translated, and a remedy."""
    if is_out_of_memory(error):
        width, height = job.resized
        cpu = "" if device == "cpu" else " or --device cpu"
        return f"{job.source}: {width}×{height} pixels do not fit into the memory of {device}; try --resize N{cpu}"
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, OSError):
        return f"{job.target}: cannot be written ({error.strerror or error})"
    return f"{job.source}: {error}"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Translate images with a trained checkpoint. Any image size; names and sub-folders are kept.",
        epilog="example: cyclegan-translate --checkpoint runs/toy --input data/toy/testA --output translated",
    )

    def add(name: str, metavar: str | None, text: str, **arguments: object) -> None:
        parser.add_argument(name, metavar=metavar, help=text, **arguments)  # type: ignore[arg-type]

    cli.add_version(parser)
    add(
        "--checkpoint",
        "PATH",
        "checkpoint or published weights: a file, a folder, or a name that cyclegan-weights has downloaded",
        required=True,
    )
    add("--input", "PATH", "image, folder, quoted glob pattern, or .txt file with a path in each line", required=True)
    add("--output", "FOLDER", "output folder, created if missing", required=True, type=Path)
    add("--direction", "A2B", "A2B or B2A (default: A2B)")
    add("--resize", "WHAT", "resize images before translation: as-trained, none, or as in training but to N pixels "
        "(default: as-trained)", type=resizing, default="as-trained")  # fmt: skip
    add("--output-size", None, "write translations at the size of the resized or of the input image "
        "(default: resized)", choices=("resized", "input"), default="resized")  # fmt: skip
    add("--batch-size", "N", "number of images in a batch (default: 1)", type=cli.positive, default=1)
    add("--device", "NAME", "cpu, cuda, cuda:1, mps … (default: a GPU if there is one)", default="auto")
    add("--precision", None, "bfloat16 is faster where the device has it, with differences of some of 255 "
        "(default: float32)",
        choices=("float32", "bfloat16"), default="float32")  # fmt: skip
    add("--format", None, "output format (default: png, or tif if png cannot store the channels and bit depth)",
        choices=("auto", "png", "jpg", "tif", "npy"), default="auto")  # fmt: skip
    add("--quality", "1-100", "quality of JPEG files (default: 95)", type=cli.quality, default=95)
    add("--convert", "NAMES", "lossy conversions of the input to allow besides those of training, comma-separated: "
        f"{','.join(CONVERSIONS)}", type=cli.conversions, default=())  # fmt: skip
    cli.add_max_pixels(parser)
    cli.add_translate_in(parser)
    add("--trust", "PACKAGE", "let the checkpoint use classes of this package", action="append", default=[])
    return parser


def resizing(text: str) -> str | int:
    """Parse the value of --resize."""
    return text if text in ("as-trained", "none") else cli.positive(text)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    cli.open_screen()
    args = build_parser().parse_args(argv)
    try:
        failed = run(args)
    except (UserError, OSError) as error:  # OSError: the output cannot be written
        sys.exit(f"{PROGRAM}: {error}")
    if failed:
        print(*failed, sep="\n", file=sys.stderr)
        sys.exit(f"{PROGRAM}: {len(failed)} of the images could not be translated (see above)")


def run(args: argparse.Namespace) -> list[str]:
    """Run a parsed command line; return the reason for each image that could not be translated."""
    import cyclegan
    from cyclegan.checkpoint.reading import checkpoint_file

    files, output = find_images(args.input), args.output.expanduser()
    device = cli.usable_device(args.device)
    checkpoint = checkpoint_file(args.checkpoint, args.direction)
    if checkpoint != Path(args.checkpoint):
        print(f"checkpoint {checkpoint}", file=sys.stderr)
    translator = cyclegan.load(checkpoint, trust=args.trust, direction=args.direction, translate_in=args.translate_in)
    direction = source, target = cli.parse_direction(translator, args.direction)
    formats = dict(translator.pixel_formats)
    formats[source] = replace(formats[source], convert=(*formats[source].convert, *args.convert))
    translator.pixel_formats = formats
    pairs = cli.plan(files.base, files.names(), output, suffix_of(args.format, formats[target]))
    output.mkdir(parents=True, exist_ok=True)
    scale = choose_scale(args.resize, translator.scale)
    unknown = "" if translator.scale else " (the checkpoint does not store the scale of training)"
    print(f"images are {scale}{unknown}; --resize and --output-size set other sizes")
    failed = translate_files(
        translator, pairs, direction, scale, args.output_size, args.batch_size, device, args.quality, args.max_pixels,
        args.precision,
    )  # fmt: skip
    print(f"{len(pairs) - len(failed)} of {len(pairs)} images, {'2'.join(direction)}, on {device}: {output}")
    return failed


def find_images(given: str) -> Files:
    """Find the images of `--input`: a single image, or several as in training; without any, raise an InputError."""
    path = Path(given).expanduser()
    if path.is_file() and path.suffix.lower() != LIST_SUFFIX:
        return Files(path.parent, [path.name])
    try:
        return find_files(path)
    except DataError as error:
        raise InputError(f"--input {given}: {error}") from error


def choose_scale(choice: str | int, trained: Scale | None) -> Scale:
    """Return the scale for the value of `--resize`: "as-trained", "none" or a number of pixels."""
    if isinstance(choice, int):
        return Scale(choice, (trained or AS_IT_IS).resize)
    return trained if choice == "as-trained" and trained else AS_IT_IS


def suffix_of(choice: str, pixel_format: PixelFormat) -> str:
    """Return the file extension for `--format`; raise an InputError if it cannot store the pixel format."""
    if choice == "auto":
        return suffix_for(pixel_format)
    if not can_hold(f".{choice}", pixel_format):
        raise InputError(
            f"--format {choice} cannot store the {pixel_format.channels} channels of {pixel_format.dtype} of this "
            f"checkpoint's images: use --format {suffix_for(pixel_format).removeprefix('.')}"
        )
    return f".{choice}"


if __name__ == "__main__":
    main()
