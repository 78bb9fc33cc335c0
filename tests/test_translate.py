"""cyclegan-translate: sizes, scale, directions, formats, paths and errors."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cyclegan.checkpoint.writing import AtomicCheckpointIO
from cyclegan.data.file_list import Files, find_files
from cyclegan.data.reader import DomainImages
from cyclegan.data.sizes import Scale
from cyclegan.data.transforms import TrainingView
from cyclegan.errors import UserError
from cyclegan.images import MAX_PIXELS, RGB
from cyclegan.methods.translator import Batch, Translator
from cyclegan.translate import build_parser, main, translate_files
from tests.small import small_cyclegan

Pixels = NDArray[np.uint8]


@final
class Echo(Translator):
    """A translator that returns A unchanged and B as its negative, and stores its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.domains = ("A", "B")
        self.channels = {"A": 3, "B": 3}
        self.directions = (("A", "B"), ("B", "A"))
        self.size_multiple, self.minimum_size, self.minimum_crop = 4, 12, 12
        self.given: list[Tensor] = []

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        self.require_direction(source, target)
        self.given.append(images.clone())
        return images if source == "A" else -images

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        return batch

    def generators(self) -> Mapping[str, nn.Module]:
        return {}


def save_echo(data: dict[str, Any] | None) -> None:
    """Write echo.ckpt with this `data` configuration."""
    config = {"model": {"_target_": f"{__name__}.Echo"}} | ({} if data is None else {"data": data})
    AtomicCheckpointIO().save_checkpoint({"config": config, "state_dict": {}}, "echo.ckpt")


@pytest.fixture(autouse=True)
def fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in a folder with only a checkpoint of `Echo`."""
    monkeypatch.chdir(tmp_path)
    save_echo(None)


def new_image(path: str, height: int = 9, width: int = 14, seed: int = 0) -> Pixels:
    """Write an image of noise and return its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def pixels_of(path: str | Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image)


def translate(*arguments: str, output: str = "out") -> None:
    """Run the command with the checkpoint of `Echo`."""
    main(["--checkpoint", "echo.ckpt", "--trust", "tests", "--device", "cpu", "--output", output, *arguments])


def refusal(*arguments: str, output: str = "out") -> str:
    """Return the error message of the command."""
    with pytest.raises(SystemExit) as caught:
        translate(*arguments, output=output)
    assert isinstance(caught.value.code, str)
    return caught.value.code


def written(folder: str = "out") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def reflected(length: int, wanted: int) -> list[int]:
    """Return the indices of pixels that are reflected repeatedly at both ends."""
    period = max(2 * (length - 1), 1)
    return [min(index % period, period - index % period) for index in range(wanted)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 30), (12, 12), (31, 17)])
def test_images_of_any_size_keep_their_pixels_and_b2a_is_the_other_direction(height: int, width: int) -> None:
    pixels = new_image("in.png", height, width)
    translate("--input", "in.png")
    translate("--input", "in.png", "--direction", "B2A", output="ba")
    assert np.array_equal(pixels_of("out/in.png"), pixels)
    assert np.array_equal(pixels_of("ba/in.png"), 255 - pixels)


@pytest.mark.parametrize(("height", "width", "padded"), [(5, 18, (12, 20)), (1, 3, (12, 12)), (2, 1, (12, 12))])
def test_images_are_padded_by_repeated_reflection(height: int, width: int, padded: tuple[int, int]) -> None:
    pixels = new_image("in.png", height, width)
    echo = Echo().eval()
    assert translate_files(echo, [(Path("in.png"), Path("out.png"))], ("A", "B")) == []
    (given,) = echo.given
    assert given.shape == (1, 3, *padded)  # at least 12, in multiples of 4
    expected = pixels[reflected(height, padded[0])][:, reflected(width, padded[1])]
    assert np.array_equal(((given[0] + 1) * 127.5).round().numpy().astype(np.uint8).transpose(1, 2, 0), expected)


def test_batches_hold_images_of_one_padded_size(tmp_path: Path) -> None:
    sizes = [(12, 12), (30, 12), (9, 11), (12, 10), (29, 12), (1, 1)]  # four fit 12 × 12, two fit 32 × 12
    inputs = [new_image(f"in/{i}.png", *size, seed=i) for i, size in enumerate(sizes)]
    echo = Echo().eval()
    pairs = [(Path(f"in/{i}.png"), tmp_path / f"{i}.png") for i in range(len(sizes))]
    translate_files(echo, pairs, ("A", "B"), batch_size=3)
    assert [tuple(batch.shape) for batch in echo.given] == [(3, 3, 12, 12), (1, 3, 12, 12), (2, 3, 32, 12)]
    for i, pixels in enumerate(inputs):
        assert np.array_equal(pixels_of(tmp_path / f"{i}.png"), pixels), i


def test_a_cyclegan_translates_with_its_generator_and_the_batch_size_changes_nothing() -> None:
    model = small_cyclegan(seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)  # so that translations differ from their inputs
    config = {
        "_target_": "cyclegan.methods.cyclegan.CycleGAN",
        "generator": {
            "_target_": "cyclegan.networks.resnet.ResnetGenerator", "_partial_": True, "width": 4, "blocks": 1,
        },
        "discriminator": {
            "_target_": "cyclegan.networks.patchgan.PatchDiscriminator", "_partial_": True, "width": 4, "layers": 1,
        },
    }  # fmt: skip
    AtomicCheckpointIO().save_checkpoint({"config": {"model": config}, "state_dict": model.state_dict()}, "small.ckpt")
    pixels = {name: new_image(f"in/{name}.png", 16, 20, seed=i) for i, name in enumerate("abc")}  # needs no padding
    for size in ("1", "2"):
        translate("--input", "in", "--checkpoint", "small.ckpt", "--batch-size", size, output=size)
    for name, image in pixels.items():
        with torch.no_grad():
            output = model.eval().gen_ab(torch.tensor(image).permute(2, 0, 1)[None] / 127.5 - 1)[0]
        expected = ((output + 1) * 127.5).round().permute(1, 2, 0).numpy()
        for size in ("1", "2"):
            assert np.abs(pixels_of(f"{size}/{name}.png") - expected).max() <= 1
        assert np.abs(image - expected).mean() > 20
    translate("--input", "in", "--checkpoint", "small.ckpt", "--precision", "bfloat16", output="bf16")
    differences = [np.abs(pixels_of(f"bf16/{name}.png").astype(int) - pixels_of(f"1/{name}.png")) for name in pixels]
    assert 0 < np.mean(differences) < 2, "of 255"


def stripes(path: str, width: int = 96, height: int = 48) -> None:
    """Write an image that repeats every 8 columns."""
    row = np.cos(np.arange(width) * 2 * np.pi / 8) * 100 + 128
    Image.fromarray(np.repeat(np.tile(row, (height, 1))[..., None], 3, -1).astype(np.uint8)).save(path)


STRETCH = {"load_size": 64, "resize": "stretch"}


@pytest.mark.parametrize(
    ("data", "options", "scale", "size", "period"),
    [
        (STRETCH, [], "stretched to 64", (64, 64), 8 * 64 / 96),
        ({"load_size": 64, "resize": "short_side"}, [], "resized in their short side to 64", (128, 64), 8 * 64 / 48),
        ({"load_size": None, "resize": "stretch"}, [], "not resized", (96, 48), 8),
        (None, [], "not resized (the checkpoint does not store the scale of training)", (96, 48), 8),
        (STRETCH, ["--resize", "none"], "not resized", (96, 48), 8),
        (STRETCH, ["--resize", "96"], "stretched to 96", (96, 96), 8),
        (STRETCH, ["--output-size", "input"], "stretched to 64", (96, 48), 8),
    ],
)
def test_images_have_the_scale_of_training_or_of_the_options(
    data: dict[str, Any] | None,
    options: list[str],
    scale: str,
    size: tuple[int, int],
    period: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_echo(data)
    stripes("in.png")
    translate("--input", "in.png", *options)
    assert f"images are {scale}; --resize and --output-size set other sizes" in capsys.readouterr().out.splitlines()
    pixels = pixels_of("out/in.png")
    assert pixels.shape[1::-1] == size
    row = torch.from_numpy(pixels[pixels.shape[0] // 2, :, 0].astype(np.float32))
    assert len(row) / int(torch.fft.rfft(row - row.mean()).abs().argmax()) == pytest.approx(period)


def test_output_size_input_still_translates_at_the_scale_of_training() -> None:
    stripes("in.png")
    echo = Echo().eval()
    scale = Scale(64, "width")
    translate_files(echo, [(Path("in.png"), Path("out.png"))], ("A", "B"), scale=scale, output_size="input")
    (given,) = echo.given
    assert given.shape == (1, 3, 32, 64)
    assert pixels_of("out.png").shape == (48, 96, 3)


@pytest.mark.parametrize(("resize", "shape"), [("stretch", (32, 32)), ("short_side", (32, 43))])
def test_large_jpegs_are_decoded_and_resized_as_in_training(resize: str, shape: tuple[int, int]) -> None:
    stripes("large.jpg", 403, 301)  # decoded at a quarter of its size
    echo = Echo().eval()
    translate_files(echo, [(Path("large.jpg"), Path("out.png"))], ("A", "B"), scale=Scale(32, resize))
    view = TrainingView(32, crop_size=32, flip=False, resize=resize)
    images = DomainImages(Files(".", ["large.jpg"]), RGB, None, view, reducing_gap=2.0, max_pixels=MAX_PIXELS)
    assert images[0].shape == (3, *shape)
    assert echo.given[0][0, :, : shape[0], : shape[1]].equal(images.tensor(images[0]))


def test_an_unknown_direction_is_refused_with_the_known_ones() -> None:
    new_image("in.png")
    assert refusal("--input", "in.png", "--direction", "A2C").endswith(
        "--direction A2C: this checkpoint knows A2B and B2A"
    )
    assert not Path("out").exists()


def test_jpeg_keeps_name_and_approximate_pixels_and_quality_sets_the_size() -> None:
    rows, columns = np.mgrid[0:48, 0:64]
    pixels = np.stack([columns * 4, rows * 5, np.full((48, 64), 99)], axis=-1).astype(np.uint8)  # a smooth image
    Image.fromarray(pixels).save("in.png")
    sizes = []
    for quality in ("100", "95", "20"):
        translate("--input", "in.png", "--format", "jpg", "--quality", quality, output=f"q{quality}")
        assert written(f"q{quality}") == ["in.jpg"]
        sizes.append(Path(f"q{quality}/in.jpg").stat().st_size)
    assert Path("q95/in.jpg").read_bytes().startswith(b"\xff\xd8\xff"), "not a JPEG"
    assert np.abs(pixels_of("q95/in.jpg").astype(int) - pixels).mean() < 2
    assert sizes[0] > sizes[1] > sizes[2]


def test_names_and_sub_folders_are_kept_hidden_files_skipped_and_a_tilde_expanded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    for i, name in enumerate(["a.png", "deep/er/b.JPG", "deep/c.v2.webp", ".hidden.png", ".cache/d.png"]):
        new_image(f"in/{name}", seed=i)
    Path("in/notes.txt").write_text("no image")
    translate("--input", "~/in", output="~/out")
    assert written() == ["a.png", "deep/c.v2.png", "deep/er/b.png"]


@pytest.mark.parametrize("source", ["in", "in/**/*", "listed/all.txt"])
def test_input_finds_the_same_files_as_training(source: str) -> None:
    for i, name in enumerate(["in/a.png", "in/x/b.png"]):
        new_image(name, seed=i)
    Path("in/notes.txt").write_text("no image")
    Path("listed").mkdir()
    Path("listed/all.txt").write_text("# comment\n../in/x/b.png\n../in/a.png\n")
    translate("--input", source)
    found = find_files(source)
    assert written() == sorted(found.names()) == ["a.png", "x/b.png"]
    for path, name in zip(found, found.names(), strict=True):
        assert np.array_equal(pixels_of(f"out/{name}"), pixels_of(path)), name


@pytest.mark.parametrize(
    ("images", "source", "output", "message"),
    [
        (["in/a.png", "in/a.jpg"], "in", "out", "in/a.jpg and in/a.png would both become out/a.png"),
        (["in/a.png"], "in", "in", "in/a.png is an input too and would be overwritten; choose another --output"),
        (["in/a.png", "in/x/a.png"], "in", "in/x", "in/x/a.png is an input too and would be overwritten"),
        (["a/1.png", "here/2.png"], "here/all.txt", "out", "here/../a/1.png would go outside of out; list"),
        (["in/a.png"], "in", "here/all.txt", "--output here/all.txt is a file"),
    ],
)
def test_outputs_that_would_be_lost_or_misplaced_are_refused(
    images: list[str], source: str, output: str, message: str
) -> None:
    for name in images:
        new_image(name)
    before = {name: Path(name).read_bytes() for name in images}
    Path("here").mkdir(exist_ok=True)
    Path("here/all.txt").write_text("2.png\n../a/1.png\n")
    assert message in refusal("--input", source, output=output)
    assert not Path("out").exists()
    assert {name: Path(name).read_bytes() for name in images} == before


def test_a_list_of_absolute_paths_keeps_the_folders_below_the_common_folder() -> None:
    new_image("a/1.png")
    new_image("here/b/2.png")
    Path("all.txt").write_text(f"{Path('here/b/2.png').resolve()}\n{Path('a/1.png').resolve()}\n")
    translate("--input", "all.txt")
    assert written() == ["a/1.png", "here/b/2.png"]


ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
)


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[Tensor], bool], error: Exception) -> list[int]:
    """Let `Echo` fail for some batches; return the sizes of all batches."""
    given = []

    def echo(self: Echo, images: Tensor, source: str, target: str) -> Tensor:
        given.append(len(images))
        if fails(images):
            raise error
        return images

    monkeypatch.setattr(Echo, "translate", echo)
    return given


@pytest.mark.parametrize("error", [RuntimeError(ALLOCATOR), torch.OutOfMemoryError("CUDA out of memory.")])
def test_an_image_too_large_for_memory_is_named_and_the_others_translated(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, width in (("a", 12), ("b", 400), ("c", 16)):
        new_image(f"in/{name}.png", 12, width)
    failing(monkeypatch, lambda images: images.shape[-1] >= 400, error)
    assert "1 of the images could not be translated (see above)" in refusal("--input", "in")
    assert "in/b.png: 400×12 pixels do not fit into the memory of cpu; try --resize N\n" in capsys.readouterr().err
    assert written() == ["a.png", "c.png"]


def test_a_batch_too_large_for_memory_is_translated_image_by_image(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = {name: new_image(f"in/{name}.png", 12, 12, seed=i) for i, name in enumerate("abc")}
    given = failing(monkeypatch, lambda images: len(images) > 1, RuntimeError(ALLOCATOR))
    translate("--input", "in", "--batch-size", "3")
    assert given == [3, 1, 1, 1]
    for name, expected in pixels.items():
        assert np.array_equal(pixels_of(f"out/{name}.png"), expected), name


def test_an_error_of_one_image_does_not_affect_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {name: new_image(f"in/{name}.png", 12, 12, seed=i) for i, name in enumerate("ag")}
    Path("in/b.png").write_text("<html>404</html>")  # no image header
    new_image("in/c.jpg", 12, 12)
    Path("in/c.jpg").write_bytes(Path("in/c.jpg").read_bytes()[:-100])  # the header is intact
    new_image("in/d.png", 12, 12)
    Path("out/d.png").mkdir(parents=True)
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save("in/e.png")
    failing(monkeypatch, lambda images: bool((images == -1).all((1, 2, 3)).any()), UserError("too dark"))
    message = refusal("--input", "in", "--batch-size", "4")
    assert "4 of the images could not be translated (see above)" in message
    out, err = capsys.readouterr()
    assert "2 of 6 images, A2B, on cpu: out" in out
    lines = [line for line in err.splitlines() if line.startswith(("in/", "out/"))]
    assert [line.split(":")[0] for line in lines] == ["in/b.png", "in/c.jpg", "out/d.png", "in/e.png"]
    assert lines[2:] == ["out/d.png: cannot be written (Is a directory)", "in/e.png: too dark"]
    assert written() == ["a.png", "g.png"]
    for name, pixels in good.items():
        assert np.array_equal(pixels_of(f"out/{name}.png"), pixels), name


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    new_image("in.png")
    failing(monkeypatch, lambda images: True, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        translate("--input", "in.png")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("empty", "--input empty: no image in empty (found: no file)"),
        ("empty/**/*.png", "no image matches empty/**/*.png (found: no file)"),
        ("no.txt", "no.txt lists 'gone.png', which does not exist"),
    ],
)
def test_an_input_without_images_is_refused(pattern: str, why: str) -> None:
    Path("empty").mkdir()
    Path("no.txt").write_text("gone.png\n")
    assert why in refusal("--input", pattern)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--resize", "half", "invalid resizing value: 'half'"),
        ("--quality", "101", "101 is not between 1 and 100"),
        ("--format", "gif", "invalid choice: 'gif'"),
    ],
)
def test_an_option_out_of_range_is_refused(
    option: str, value: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(["--checkpoint", "c", "--input", "i", "--output", "o", option, value])
    assert caught.value.code == 2
    assert why in capsys.readouterr().err


def test_help_answers_without_torch() -> None:
    code = "import sys; sys.argv[1:] = ['--help']\n"
    code += "try: from cyclegan.translate import main; main()\nfinally: print('torch' in sys.modules)"
    helped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert helped.stdout.endswith("False\n")


@pytest.mark.slow
def test_a_user_error_ends_the_process_with_status_1_and_one_line() -> None:
    script = str(Path(sys.executable).with_name("cyclegan-translate"))
    words = ["--checkpoint", "echo.ckpt", "--input", "gone.png", "--output", "out"]
    ended = subprocess.run([script, *words], capture_output=True, text=True, env=os.environ)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("cyclegan-translate: --input gone.png: there is no gone.png")
    assert ended.stderr.count("\n") == 1


def test_an_unavailable_device_is_refused_before_the_checkpoint_is_read() -> None:
    new_image("in.png")
    message = refusal("--input", "in.png", "--checkpoint", "gone.ckpt", "--device", "cuda:99")
    assert message.startswith("cyclegan-translate: --device cuda:99 cannot be used: ")
