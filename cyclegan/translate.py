"""cyclegan-translate: turns images of one domain into the other, with nothing but a checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from cyclegan.cli import add_max_pixels, add_version, conversions, open_screen, plan, positive, quality
from cyclegan.data.file_list import Files
from cyclegan.data.sizes import AS_IT_IS, Scale, target_size
from cyclegan.data.sources.index import LIST_SUFFIX, find
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

# torch is imported where it is used: --help answers without it.
if TYPE_CHECKING:
    from torch import Tensor

    from cyclegan.methods.translator import Translator

PROGRAM = "cyclegan-translate"
FORMATS = ("png", "jpg", "tif", "npy")


@dataclass(frozen=True)
class Job:
    """One image: where it is, where its translation goes, and its sizes."""

    source: Path
    target: Path
    given: tuple[int, int]
    """(width, height) of its file."""
    resized: tuple[int, int]
    """(width, height) at which it is translated."""
    padded: tuple[int, int]
    """(height, width) that the networks see."""


def padded(length: int, multiple: int, minimum: int) -> int:
    """The smallest length that the networks take and that holds `length` pixels."""
    return -(-max(length, minimum) // multiple) * multiple


def reflect_to(images: Tensor, height: int, width: int) -> Tensor:
    """Continues images (N, C, H, W) to `height` × `width` by reflecting them at the right and lower edges.

    Unlike torch's padding it reflects again where the image is smaller than what is missing.
    """
    import torch

    def mirrored(length: int, wanted: int) -> Tensor:
        period = max(2 * (length - 1), 1)  # there and back; a single pixel repeats itself
        index = torch.arange(wanted) % period
        return torch.minimum(index, period - index)

    rows, columns = mirrored(images.shape[-2], height), mirrored(images.shape[-1], width)
    return images[..., rows, :][..., columns]


def batches(jobs: Iterable[Job], batch_size: int) -> Iterator[list[Job]]:
    """Groups jobs of one padded size into batches."""
    for _, group in groupby(sorted(jobs, key=lambda job: job.padded), key=lambda job: job.padded):
        same = list(group)
        for start in range(0, len(same), batch_size):
            yield same[start : start + batch_size]


def translate_files(
    translator: Translator,
    pairs: Sequence[tuple[Path, Path]],
    direction: tuple[str, str],
    batch_size: int = 1,
    device: str = "cpu",
    quality: int = 95,
    max_pixels: int = MAX_PIXELS,
    scale: Scale = AS_IT_IS,
    output_size: str = "resized",
) -> dict[Path, str]:
    """Translates images of any size: resized, padded by reflection to what the networks take, and cropped back.

    Args:
        translator: in eval mode.
        pairs: (image, file for its translation).
        direction: (source, target) domain.
        batch_size: images of one size that go through the network together.
        device: where, as torch names it.
        quality: of JPEG files.
        max_pixels: width × height of the largest image that is read.
        scale: at which images are translated.
        output_size: "resized", translations are written at the size at which they are made; "input", at the image's.

    Returns:
        the images that could not be translated and why; all others were.
    """
    import torch

    from cyclegan.data.transforms import resized
    from cyclegan.images.tensors import to_pixels, to_tensor

    translator = translator.to(device)
    read_as, written_as = (translator.pixel_formats.get(domain, RGB) for domain in direction)
    failed: dict[Path, str] = {}
    jobs = []
    for source, target in pairs:
        try:
            found = header(source, read_as)
            require_suitable(found, read_as, str(source), max_pixels)
        except ImageError as error:
            failed[source] = str(error)
        else:
            width, height = target_size(found.width, found.height, *scale)
            fit = [padded(n, translator.size_multiple, translator.minimum_size) for n in (height, width)]
            jobs.append(Job(source, target, (found.width, found.height), (width, height), (fit[0], fit[1])))

    def together(batch: Sequence[Job]) -> None:
        images = []
        for job in batch:
            width, height = job.resized
            # Large JPEGs are decoded smaller, as in training by default.
            pixels = read(job.source, read_as, (2 * width, 2 * height), max_pixels)
            images.append(to_tensor(resized(pixels, width, height), read_as))
        inputs = torch.cat([reflect_to(image[None], *job.padded) for job, image in zip(batch, images, strict=True)])
        outputs = translator.translate(inputs.to(device), *direction).float().cpu()
        for job, output in zip(batch, outputs, strict=True):
            width, height = job.resized
            pixels = to_pixels(output[..., :height, :width], written_as)
            size = job.given if output_size == "input" else job.resized
            write(resized(pixels, *size), job.target, quality=quality)

    def failure(batch: Sequence[Job]) -> str:
        """Translates a batch; returns why that failed, as of its first image, or nothing."""
        try:
            together(batch)
        except (UserError, OSError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) and not isinstance(error, UserError | OSError):
                raise  # a bug
            return explained(error, batch[0], device)
        return ""

    with tqdm(total=len(jobs), unit="img", disable=None) as bar, torch.inference_mode():
        for batch in batches(jobs, batch_size):
            reason = failure(batch)
            if reason and len(batch) == 1:
                failed[batch[0].source] = reason
            elif reason:  # one by one: an error of one image costs no other, and memory is needed for one alone
                reasons = {job.source: failure([job]) for job in batch}
                failed.update((source, reason) for source, reason in reasons.items() if reason)
            bar.update(len(batch))
    return failed


def explained(error: Exception, job: Job, device: str) -> str:
    """Why an image was not translated, and what to do."""
    if is_out_of_memory(error):
        given, resized = (f"{width}×{height}" for width, height in (job.given, job.resized))
        at = given if given == resized else f"{given} translated at {resized}"
        elsewhere = "" if device == "cpu" else " or --device cpu"
        return f"{job.source}: {at} does not fit into the memory of {device}: try a smaller --resize N{elsewhere}"
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, OSError):
        return f"{job.target}: cannot be written ({error.strerror or error})"
    return f"{job.source}: {error}"


def parse_direction(translator: Translator, text: str | None) -> tuple[str, str]:
    """Turns A2B into ("A", "B"); without a text, the first direction that the translator learns.

    Raises:
        InputError: the translator does not learn it.
    """
    known = {f"{source}2{target}": (source, target) for source, target in translator.directions}
    if text is None:
        return translator.directions[0]
    if text not in known:
        raise InputError(f"--direction {text}: this checkpoint knows {' and '.join(known)}")
    return known[text]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Translate images with a trained checkpoint. Any image size; names and sub-folders are kept.",
        epilog="example: cyclegan-translate --checkpoint runs/toy --input data/toy/testA --output translated",
    )
    add_version(parser)
    parser.add_argument(
        "--checkpoint", required=True, metavar="PATH", help="a file, or a run's folder: its best.ckpt, else its newest"
    )
    parser.add_argument(
        "--input",
        required=True,
        metavar="PATH",
        help="an image, or as in training a folder, a quoted glob pattern or a list, a .txt with a path a line",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="made if it is missing")
    parser.add_argument("--direction", metavar="A2B", help="A2B or B2A (default: A2B)")
    parser.add_argument(
        "--resize",
        type=resizing,
        default="as-trained",
        metavar="WHAT",
        help="before translation: as-trained, none, or to N pixels in the way of training (default: as-trained)",
    )
    parser.add_argument(
        "--output-size",
        choices=("resized", "input"),
        default="resized",
        help="write translations at the size of the resized or of the input image (default: resized)",
    )
    parser.add_argument("--batch-size", type=positive, default=1, metavar="N", help="images of one size (default: 1)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps … (default: a GPU if there is one)")
    parser.add_argument(
        "--format",
        choices=("auto", *FORMATS),
        default="auto",
        help="of the output (default: png if it can hold the channels and depth that were trained on, else tif)",
    )
    parser.add_argument("--quality", type=quality, default=95, metavar="1-100", help="of JPEG (default: 95)")
    parser.add_argument(
        "--convert",
        type=conversions,
        default=(),
        metavar="WORDS",
        help=f"conversions allowed, besides those of training, although they lose something: {','.join(CONVERSIONS)}",
    )
    add_max_pixels(parser)
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="let the checkpoint use classes of this package",
    )
    return parser


def resizing(text: str) -> str | int:
    """A value of --resize."""
    return text if text in ("as-trained", "none") else positive(text)


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    open_screen()
    args = build_parser().parse_args(argv)
    try:
        failed = run(args)
    except (UserError, OSError) as error:  # OSError: the output cannot be written
        sys.exit(f"{PROGRAM}: {error}")
    if failed:
        for reason in failed.values():
            print(reason, file=sys.stderr)
        sys.exit(f"{PROGRAM}: {len(failed)} of the images could not be translated (above); the others are")


def run(args: argparse.Namespace) -> dict[Path, str]:
    """Carries out a parsed command line; returns the images that could not be translated."""
    import cyclegan
    from cyclegan.checkpoint.reading import checkpoint_file

    files, output = find_images(args.input), args.output.expanduser()
    device = default_device() if args.device == "auto" else usable_device(args.device)
    checkpoint = checkpoint_file(args.checkpoint)
    if checkpoint != Path(args.checkpoint):
        print(f"checkpoint {checkpoint}", file=sys.stderr)
    translator = cyclegan.load(checkpoint, trust=args.trust)
    direction = source, target = parse_direction(translator, args.direction)
    formats = dict(translator.pixel_formats)
    formats[source] = replace(formats[source], convert=(*formats[source].convert, *args.convert))
    translator.pixel_formats = formats
    pairs = plan(files.base, files.names(), output, suffix_of(args.format, formats[target]))
    output.mkdir(parents=True, exist_ok=True)
    scale, how = choose_scale(args.resize, translator.scale)
    print(f"images are {scale}{how}")
    failed = translate_files(
        translator, pairs, direction, args.batch_size, device, args.quality, args.max_pixels, scale, args.output_size
    )
    print(f"{len(pairs) - len(failed)} of {len(pairs)} images, {'2'.join(direction)}, on {device}: {output}")
    return failed


def find_images(given: str) -> Files:
    """Finds what `--input` names: one image, or what training would find; see `cyclegan.data.sources.index.find`.

    Raises:
        InputError: there is no image.
    """
    path = Path(given).expanduser()
    if path.is_file() and path.suffix.lower() != LIST_SUFFIX:
        return Files(path.parent, [path.name])
    try:
        return find(path)
    except DataError as error:
        raise InputError(f"--input {given}: {error}") from error


def choose_scale(choice: str | int, trained: Scale | None) -> tuple[Scale, str]:
    """The scale that --resize names, and in words where it comes from and how to get another.

    Args:
        choice: "as-trained", "none" or a number of pixels.
        trained: the scale of training, if it is known.
    """
    if isinstance(choice, int):
        return Scale(choice, (trained or AS_IT_IS).resize), "; --resize as-trained, none give other scales"
    if choice == "none":
        return AS_IT_IS, "; --resize as-trained, N give other scales"
    if trained is None:
        return AS_IT_IS, ", as the checkpoint does not say how training did it; --resize N does"
    size = ", --output-size input writes at the input's size" if trained.load_size else ""
    return trained, f", as in training; --resize none, N give other scales{size}"


def suffix_of(choice: str, pixel_format: PixelFormat) -> str:
    """The ending of the files that images of this format go to.

    Raises:
        InputError: the chosen kind of file cannot hold them.
    """
    if choice == "auto":
        return suffix_for(pixel_format)
    if not can_hold(f".{choice}", pixel_format):
        raise InputError(
            f"--format {choice} cannot hold what this checkpoint makes, {pixel_format.channels} channels of "
            f"{pixel_format.dtype}: leave it out, which takes {suffix_for(pixel_format).removeprefix('.')}"
        )
    return f".{choice}"


def default_device() -> str:
    """A GPU if torch sees one."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usable_device(name: str) -> str:
    """The name of a device that torch can compute on.

    Raises:
        InputError: there is no such device.
    """
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from error
    return name


if __name__ == "__main__":
    main()
