"""cyclegan-translate: sizes, scale, directions, formats, paths and errors."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import hydra
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cyclegan.checkpoint.writing import AtomicCheckpointIO
from cyclegan.data.file_list import find_files
from cyclegan.data.sizes import Scale
from cyclegan.errors import UserError
from cyclegan.methods.translator import Batch, Translator
from cyclegan.translate import build_parser, main, reflect_to, translate_files

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


SMALL_CYCLEGAN = {
    "_target_": "cyclegan.methods.cyclegan.CycleGAN",
    "generator": {
        "_target_": "cyclegan.networks.resnet.ResnetGenerator",
        "_partial_": True,
        "width": 4,
        "blocks": 1,
    },
    "discriminator": {"_target_": "cyclegan.networks.patchgan.PatchDiscriminator", "_partial_": True, "width": 4},
}


@pytest.fixture(autouse=True)
def a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in a folder that holds only a checkpoint of `Echo`."""
    checkpoint = {"config": {"model": {"_target_": f"{__name__}.Echo"}}, "state_dict": {}}
    AtomicCheckpointIO().save_checkpoint(checkpoint, tmp_path / "echo.ckpt")
    monkeypatch.chdir(tmp_path)


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
    """Return the error message of the command; sys.exit with a text ends the process with status 1."""
    with pytest.raises(SystemExit) as caught:
        translate(*arguments, output=output)
    assert isinstance(caught.value.code, str)
    return caught.value.code


def written(folder: str = "out") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def bounce(length: int, wanted: int) -> list[int]:
    """Return the indices of pixels reflected repeatedly at both ends."""
    walk, at, step = [], 0, 1
    for _ in range(wanted):
        walk.append(at)
        if length > 1:
            step = -1 if at == length - 1 else 1 if at == 0 else step
            at += step
    return walk


@given(height=st.integers(1, 7), width=st.integers(1, 7), down=st.integers(0, 30), right=st.integers(0, 30))
def test_reflect_to_reflects_repeatedly_and_equals_torch_where_defined(
    height: int, width: int, down: int, right: int
) -> None:
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height * width))
    result = reflect_to(images, height + down, width + right)
    expected = images.numpy()[:, :, bounce(height, height + down)][..., bounce(width, width + right)]
    assert np.array_equal(result.numpy(), expected)
    if down < height and right < width:  # as torch requires
        assert result.equal(F.pad(images, (0, right, 0, down), mode="reflect"))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 30), (12, 12), (31, 17)])
def test_images_of_any_size_keep_their_pixels_and_b2a_is_the_other_direction(height: int, width: int) -> None:
    pixels = new_image("in.png", height, width)
    translate("--input", "in.png")
    translate("--input", "in.png", "--direction", "B2A", output="ba")
    assert np.array_equal(pixels_of("out/in.png"), pixels)
    assert np.array_equal(pixels_of("ba/in.png"), 255 - pixels)


def test_images_are_padded_by_reflection(tmp_path: Path) -> None:
    pixels = new_image("in.png", 5, 18)
    echo = Echo().eval()
    assert translate_files(echo, [(Path("in.png"), tmp_path / "out.png")], ("A", "B")) == {}
    (given,) = echo.given
    assert given.shape == (1, 3, 12, 20)  # at least 12, in multiples of 4
    expected = pixels[bounce(5, 12)][:, bounce(18, 20)]
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


@pytest.fixture
def cyclegan_weights() -> dict[str, Tensor]:
    """Write small.ckpt, a CycleGAN with weights large enough to change an image; return the weights."""
    torch.manual_seed(1)
    model = hydra.utils.instantiate(SMALL_CYCLEGAN)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)
    weights: dict[str, Tensor] = model.state_dict()
    AtomicCheckpointIO().save_checkpoint({"config": {"model": SMALL_CYCLEGAN}, "state_dict": weights}, "small.ckpt")
    return weights


def run_cyclegan(*arguments: str) -> None:
    main(["--checkpoint", "small.ckpt", "--device", "cpu", *arguments])


@pytest.mark.parametrize(("direction", "name"), [([], "gen_ab"), (["--direction", "B2A"], "gen_ba")])
def test_the_image_is_the_generators_of_that_direction(
    cyclegan_weights: dict[str, Tensor], direction: list[str], name: str
) -> None:
    pixels = new_image("in.png", 16, 20)  # a size that needs no padding
    run_cyclegan("--input", "in.png", "--output", "out", *direction)

    generator = hydra.utils.instantiate(SMALL_CYCLEGAN["generator"])()
    weights = {k.removeprefix(f"{name}."): v for k, v in cyclegan_weights.items() if k.startswith(f"{name}.")}
    generator.load_state_dict(weights)
    with torch.no_grad():
        image = generator.eval()(torch.tensor(pixels).permute(2, 0, 1)[None] / 127.5 - 1)[0]
    expected = ((image + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.abs(pixels_of("out/in.png") - expected).max() <= 1
    assert np.abs(pixels - expected).mean() > 20, "the translation has to differ from the input"


def checkpoint_of(data: dict[str, Any] | None) -> None:
    """Write echo.ckpt with this `data` configuration."""
    config = {"model": {"_target_": f"{__name__}.Echo"}} | ({} if data is None else {"data": data})
    AtomicCheckpointIO().save_checkpoint({"config": config, "state_dict": {}}, "echo.ckpt")


def stripes(path: str, width: int = 96, height: int = 48) -> None:
    """Write an image that repeats every 8 columns."""
    row = np.cos(np.arange(width) * 2 * np.pi / 8) * 100 + 128
    Image.fromarray(np.repeat(np.tile(row, (height, 1))[..., None], 3, -1).astype(np.uint8)).save(path)


@pytest.mark.parametrize(
    ("data", "options", "size", "period"),
    [
        ({"load_size": 64, "resize": "stretch"}, [], (64, 64), 8 * 64 / 96),
        ({"load_size": 64, "resize": "short_side"}, [], (128, 64), 8 * 64 / 48),
        ({"load_size": None, "resize": "stretch"}, [], (96, 48), 8),
        (None, [], (96, 48), 8),
        ({"load_size": 64, "resize": "stretch"}, ["--resize", "none"], (96, 48), 8),
        (None, ["--resize", "96"], (192, 96), 16),
        ({"load_size": 64, "resize": "stretch"}, ["--output-size", "input"], (96, 48), 8),
    ],
)
def test_images_are_translated_at_the_scale_of_training_or_of_the_options(
    data: dict[str, Any] | None, options: list[str], size: tuple[int, int], period: float
) -> None:
    checkpoint_of(data)
    stripes("in.png")
    translate("--input", "in.png", *options)
    pixels = pixels_of("out/in.png")
    assert pixels.shape[1::-1] == size
    row = torch.from_numpy(pixels[pixels.shape[0] // 2, :, 0].astype(np.float32))
    assert len(row) / int(torch.fft.rfft(row - row.mean()).abs().argmax()) == pytest.approx(period)


def test_output_size_input_still_translates_at_the_scale_of_training(tmp_path: Path) -> None:
    stripes("in.png")
    echo = Echo().eval()
    scale = Scale(64, "width")
    translate_files(echo, [(Path("in.png"), tmp_path / "o.png")], ("A", "B"), scale=scale, output_size="input")
    (given,) = echo.given
    assert given.shape == (1, 3, 32, 64)
    assert pixels_of("o.png").shape == (48, 96, 3)


@pytest.mark.parametrize(
    ("data", "options", "line"),
    [
        ({"load_size": 64, "resize": "stretch"}, [], "images are stretched to 64; "),
        ({"load_size": 64, "resize": "width"}, ["--resize", "none"], "images are not resized; "),
        (None, [], "images are not resized (the checkpoint does not store the scale of training); "),
    ],
)
def test_the_scale_is_printed(
    data: dict[str, Any] | None, options: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint_of(data)
    new_image("in.png")
    translate("--input", "in.png", *options)
    assert f"{line}--resize and --output-size set other sizes" in capsys.readouterr().out.splitlines()


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
    """Links to files and folders are followed, and each folder is read once."""
    for i, name in enumerate(["in/a.png", "in/x/b.png", "elsewhere/c.png", "elsewhere/d.png"]):
        new_image(name, seed=i)
    Path("in/one.png").symlink_to(Path("elsewhere/d.png").resolve())
    Path("in/more").symlink_to(Path("elsewhere").resolve())
    Path("in/round").symlink_to(Path("in").resolve())
    Path("listed").mkdir()
    Path("listed/all.txt").write_text("# comment\n../in/x/b.png\n../in/a.png\n")
    translate("--input", source)
    found = find_files(source)
    assert written() == sorted(found.names())
    assert written() == (["a.png", "x/b.png"] if source.endswith(".txt") else
                         ["a.png", "more/c.png", "more/d.png", "one.png", "x/b.png"])  # fmt: skip
    for path, name in zip(found, found.names(), strict=True):
        assert np.array_equal(pixels_of(f"out/{name}"), pixels_of(path)), name


def test_outputs_stay_inside_the_output_folder() -> None:
    new_image("a/1.png")
    new_image("here/b/2.png")
    Path("here/all.txt").write_text("b/2.png\n../a/1.png\n")
    assert "here/../a/1.png would go outside of out; list the images by absolute paths" in refusal(
        "--input", "here/all.txt"
    )
    Path("here/all.txt").write_text(f"{Path('here/b/2.png').resolve()}\n{Path('a/1.png').resolve()}\n")
    translate("--input", "here/all.txt")
    assert written() == ["a/1.png", "here/b/2.png"]


def test_two_inputs_with_the_same_output_are_refused() -> None:
    new_image("in/a.png")
    new_image("in/a.jpg")
    message = refusal("--input", "in")
    assert "in/a.jpg and in/a.png would both become out/a.png" in message
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (["a.png"], "in"),
        (["a.png", "x/a.png"], "in/x"),  # in/a.png would overwrite in/x/a.png
    ],
)
def test_no_input_is_overwritten(names: list[str], output: str) -> None:
    before = {name: new_image(f"in/{name}", seed=i) for i, name in enumerate(names)}
    message = refusal("--input", "in", "--direction", "B2A", output=output)
    assert f"{output}/a.png is an input too and would be overwritten; choose another --output" in message
    for name, pixels in before.items():
        assert np.array_equal(pixels_of(f"in/{name}"), pixels), name


def test_an_output_that_is_a_file_is_refused() -> None:
    new_image("in.png")
    Path("out").write_text("something else")
    assert "--output out is a file" in refusal("--input", "in.png")
    assert Path("out").read_text() == "something else"


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
    assert "1 of the images could not be translated (see above); the others were" in refusal("--input", "in")
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
    """The translator refuses one image of a batch, and a folder blocks the output of another."""
    for i, name in enumerate("abcd"):
        new_image(f"in/{name}.png", 12, 12, seed=i)
    dark = np.zeros((12, 12, 3), np.uint8)
    Image.fromarray(dark).save("in/b.png")
    Path("out/c.png").mkdir(parents=True)
    failing(monkeypatch, lambda images: bool((images == -1).all((1, 2, 3)).any()), UserError("too dark"))
    assert "2 of the images could not be translated" in refusal("--input", "in", "--batch-size", "4")
    lines = capsys.readouterr().err.splitlines()
    assert "in/b.png: too dark" in lines
    assert "out/c.png: cannot be written (Is a directory)" in lines
    assert written() == ["a.png", "d.png"]


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    new_image("in.png")
    failing(monkeypatch, lambda images: True, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        translate("--input", "in.png")


def test_unreadable_images_are_named_and_the_others_translated(capsys: pytest.CaptureFixture[str]) -> None:
    good = {name: new_image(f"in/{name}.png", 12, 12, seed=i) for i, name in enumerate("ace")}
    Path("in/b.png").write_text("<html>404</html>")  # no image header
    new_image("in/d.jpg", 12, 12)
    Path("in/d.jpg").write_bytes(Path("in/d.jpg").read_bytes()[:-100])  # the header is intact
    message = refusal("--input", "in", "--batch-size", "2")
    out, err = capsys.readouterr()
    assert "2 of the images could not be translated (see above); the others were" in message
    assert "3 of 5 images, A2B, on cpu: out" in out
    named = [line.split(":")[0] for line in err.splitlines() if line.startswith("in/")]
    assert named == ["in/b.png", "in/d.jpg"]
    assert written() == ["a.png", "c.png", "e.png"]
    for name, pixels in good.items():
        assert np.array_equal(pixels_of(f"out/{name}.png"), pixels), name


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("empty", "--input empty: no image in empty (found: no file)"),
        ("gone.png", "--input gone.png: there is no gone.png"),
        ("empty/**/*.png", "no image matches empty/**/*.png (found: no file)"),
        ("no.txt", "no.txt lists 'gone.png', which does not exist"),
    ],
)
def test_an_input_without_images_is_refused_with_the_reason(pattern: str, why: str) -> None:
    Path("empty").mkdir()
    Path("no.txt").write_text("gone.png\n")
    assert why in refusal("--input", pattern)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--batch-size", "0", "0 is less than 1"),
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


def test_an_unavailable_device_is_refused_before_the_checkpoint_is_read() -> None:
    new_image("in.png")
    message = refusal("--input", "in.png", "--checkpoint", "gone.ckpt", "--device", "cuda:99")
    assert message.startswith("cyclegan-translate: --device cuda:99 cannot be used: ")
