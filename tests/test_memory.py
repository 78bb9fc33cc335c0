"""What counts as running out of memory, and remedies that exist."""

import errno
import os
import shlex
from collections.abc import Callable
from functools import cache
from typing import Any

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from cyclegan.configuration import conf_dir
from cyclegan.continuation import require_continuable
from cyclegan.memory import is_out_of_memory, remedies
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.run_folder import RunError

CUDA = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 79.10 GiB of which 1.20 GiB is "
    "free. Process 17 has 40.00 GiB memory in use. Including non-PyTorch memory, this process has 37.90 GiB memory "
    "in use. Of the allocated memory 30.01 GiB is allocated by PyTorch, and 1.10 GiB is reserved but unallocated."
)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU that computes in bfloat16, as far as remedies ask."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", ["experiment=folders", "data.root=pictures", *overrides])


def plain(config: DictConfig) -> dict[str, Any]:
    found = OmegaConf.to_container(config, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def built(config: DictConfig) -> CycleGAN:
    with torch.device("meta"):
        model = hydra.utils.instantiate(config.model)
    assert isinstance(model, CycleGAN)
    return model


def ladder(text: str) -> list[list[str]]:
    """The overrides of each rung, as a shell would split them."""
    return [shlex.split(line) for line in text.splitlines() if line.startswith("  ") and line[2] != " "]


def raised(make: Callable[[], object]) -> BaseException:
    """The error that a call ends with."""
    try:
        make()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def wrapping(error: BaseException, *, explicitly: bool) -> Callable[[], None]:
    """A call that meets the error and raises another: from it, or while handling it."""

    def call() -> None:
        try:
            raise error
        except type(error) as met:
            if explicitly:
                raise ValueError("the run failed") from met
            raise ValueError("the run failed")  # noqa: B904

    return call


# ------------------------------------------------------------------------------------ the error


def cpu_failure() -> BaseException:
    """A real one: four petabytes."""
    return raised(lambda: torch.empty(10**15))


@pytest.mark.parametrize(
    "error",
    [
        CUDA,
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("MPS backend out of memory (MPS allocated: 6.77 GB, max allowed: 9.07 GB)."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("unable to mmap 4096 bytes from file </torch_1>: Cannot allocate memory (12)"),
        RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nDefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
    ids=lambda error: f"{type(error).__name__}: {str(error)[:40]}",
)
def test_each_kind_of_shortage_is_recognised_also_behind_another_error(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert is_out_of_memory(raised(wrapping(error, explicitly=True)))
    assert is_out_of_memory(raised(wrapping(error, explicitly=False)))


def test_real_shortages_of_torch_and_python_are_recognised() -> None:
    assert is_out_of_memory(cpu_failure())
    assert is_out_of_memory(raised(lambda: bytearray(10**15)))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        ValueError("a picture called out of memory.png"),
        FileNotFoundError(errno.ENOENT, "no such file"),
    ],
)
def test_other_errors_are_not(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_an_error_that_disowns_the_shortage_before_it_is_another_matter() -> None:
    def fall_back() -> None:
        try:
            raise CUDA
        except torch.OutOfMemoryError:
            raise ValueError("and then the disk was full") from None

    assert not is_out_of_memory(raised(fall_back))


def test_errors_that_name_each_other_come_to_an_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert not is_out_of_memory(one)


# ------------------------------------------------------------------------------------ the ladder


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("shape", [lambda config: config, plain], ids=["composed", "plain"])
def test_the_whole_message(shape: Callable[[DictConfig], Any]) -> None:
    error = raised(wrapping(CUDA, explicitly=True))
    assert remedies(shape(composed("data.batch_size=4")), error).splitlines() == [
        "the GPU's memory ran out; 2.00 GiB more were asked for; "
        "GPU 1 has 79.10 GiB, of which 1.20 GiB are free, and this process holds 37.90 GiB.",
        "This run has data.crop_size=256, data.batch_size=4, trainer.precision=32-true, model.generator.width=64, "
        "model.generator.blocks=9, model.generator.activation_checkpointing=false, model.pool_size=50.",
        "Add one or more of these to the command:",
        "  data.crop_size=128 data.load_size=143",
        "      activations take about 25 %",
        "  data.batch_size=2",
        "      activations take about 50 %; trainer.accumulate_grad_batches=2 beside it keeps the effective batch",
        "  trainer.precision=bf16-mixed",
        "      faster on most GPUs, but saves little memory or none: instance norm keeps 32 bits",
        "  model.generator.activation_checkpointing=true",
        "      the same training; nine residual blocks keep half the activations, and a step takes a quarter longer",
        "  model.generator.width=32",
        "      half the width: the generators' activations take about half, their weights about a quarter",
        "With another trainer.precision or model.generator.activation_checkpointing, the run can go on where it was "
        "saved: resume=auto.",
        "The others make it another run: give it a name=... of its own. It can begin with the weights of this one "
        "(which a new width does not allow): init_from=CHECKPOINT.",
    ]


CROP, BATCH = ["data.crop_size=128", "data.load_size=143"], ["data.batch_size=2"]
PRECISION, WIDTH = ["trainer.precision=bf16-mixed"], ["model.generator.width=32"]
CHECKPOINTING = ["model.generator.activation_checkpointing=true"]
LADDERS: list[tuple[str, list[list[str]]]] = [
    ("data.batch_size=4", [CROP, BATCH, PRECISION, CHECKPOINTING, WIDTH]),
    ("data.batch_size=15", [CROP, ["data.batch_size=5"], PRECISION, CHECKPOINTING, WIDTH]),
    ("trainer.precision=bf16-mixed", [CROP, CHECKPOINTING, WIDTH]),
    ("trainer.precision=16-mixed", [CROP, CHECKPOINTING, WIDTH]),
    ("trainer.precision=32", [CROP, PRECISION, CHECKPOINTING, WIDTH]),
    ("model.generator.activation_checkpointing=true", [CROP, PRECISION, WIDTH]),
    ("~model.generator.activation_checkpointing", [CROP, PRECISION, [f"+{CHECKPOINTING[0]}"], WIDTH]),
    ("model.generator.width=15", [CROP, PRECISION, CHECKPOINTING]),
    ("data.load_size=null", [CROP[:1], PRECISION, CHECKPOINTING, WIDTH]),
    ("data.crop_size=100", [["data.crop_size=48", "data.load_size=137"], PRECISION, CHECKPOINTING, WIDTH]),
    ("data.crop_size=28", [["data.crop_size=24", "data.load_size=245"], PRECISION, CHECKPOINTING, WIDTH]),
    ("data.crop_size=24", [PRECISION, CHECKPOINTING, WIDTH]),  # no less for the discriminator
    ("generator=unet256", [PRECISION, WIDTH]),  # multiples of 256, and no residual blocks
    ("generator=encoder_decoder", [CROP, PRECISION, ["model.generator.widths=[32,64,128]"]]),
]


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("override", "expected"), LADDERS, ids=[override for override, _ in LADDERS])
def test_rungs_that_do_not_apply_are_left_out(override: str, expected: list[list[str]]) -> None:
    assert ladder(remedies(composed(override), CUDA)) == expected


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("override", ["data.batch_size=4", "data.crop_size=100", "generator=encoder_decoder"])
def test_every_rung_can_be_taken(override: str) -> None:
    changes = [change for rung in ladder(remedies(composed(override), CUDA)) for change in rung]
    config = composed(override, *changes)
    for change in changes:
        key, _, value = change.partition("=")
        assert str(OmegaConf.select(config, key)).lower().replace(" ", "") == value
    data, model = hydra.utils.instantiate(config.data), built(config)
    assert data.crop_size % model.size_multiple == 0
    assert data.load_size >= data.crop_size >= model.minimum_crop
    for generator in (model.gen_ab, model.gen_ba):
        assert getattr(generator, "activation_checkpointing", False) == (CHECKPOINTING[0] in changes)


@pytest.mark.usefixtures("gpu")
def test_what_the_message_says_about_going_on_is_so() -> None:
    """Held to what a resumed run is allowed, and to the shapes of the weights."""
    before = composed("data.batch_size=4", "data.num_workers=2")
    text = remedies(before, CUDA) + "\n" + remedies(before, MemoryError())
    promised = [line for line in text.splitlines() if line.startswith("With another ")]
    shapes = {name: weight.shape for name, weight in built(before).state_dict().items()}
    assert len(ladder(text)) == 6
    for rung in ladder(text):
        after = OmegaConf.merge(before, OmegaConf.from_dotlist(rung))
        assert isinstance(after, DictConfig)
        try:
            require_continuable(plain(before), plain(after))
            continuable = True
        except RunError:
            continuable = False
        key = rung[0].partition("=")[0]
        assert any(key in line for line in promised) == continuable, key
        same = shapes == {name: weight.shape for name, weight in built(after).state_dict().items()}
        assert same == (key != "model.generator.width"), key


def test_a_gpu_without_bfloat16_takes_float16(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert ["trainer.precision=16-mixed"] in ladder(remedies(composed(), CUDA))


def test_batches_that_are_accumulated_already_are_accumulated_more_often() -> None:
    text = remedies(composed("data.batch_size=6", "trainer.accumulate_grad_batches=3"), CUDA)
    assert "trainer.accumulate_grad_batches=6 beside it keeps the effective batch" in text


def test_on_the_cpu_precision_is_no_remedy_and_the_size_is_told() -> None:
    text = remedies(composed("trainer=cpu", "data.num_workers=3"), cpu_failure())
    # 4e15 bytes / 1024**5 = 3.5527
    assert text.startswith("the computer's memory ran out; 3.55 PiB more were asked for.\nThis run has data.crop_size")
    assert ladder(text) == [CROP, CHECKPOINTING, WIDTH, ["data.num_workers=1"]]


@pytest.mark.usefixtures("gpu")
def test_where_the_computer_runs_short_beside_a_gpu_fewer_processes_help() -> None:
    text = remedies(composed("data.num_workers=8"), MemoryError())
    assert ladder(text) == [["data.num_workers=4"]]
    assert "another run" not in text
    text = remedies(composed("data.num_workers=0"), MemoryError())
    assert text.endswith("None of its settings is left to lower: it takes a computer with more memory.")


def test_torch_is_asked_for_what_the_error_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3 * 2**19, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 79 * 2**30)
    error = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED\nand more")
    room = "GPU 2 has 80.00 GiB, of which 1.50 MiB are free, and this process holds 79.00 GiB"
    assert (
        remedies({}, error).splitlines()[0]
        == f"the GPU's memory ran out; {room}; cuDNN error: CUDNN_STATUS_ALLOC_FAILED."
    )


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"data": None, "model": None, "trainer": None},
        {
            "model": {"_target_": "torch.nn.Identity", "generator": {"_target_": "no.such.thing"}},
            "data": {"crop_size": 8},
        },
    ],
)
def test_configurations_of_other_methods_lack_rungs_not_an_answer(config: dict[str, Any]) -> None:
    text = remedies(config, CUDA)
    assert text.startswith("the GPU's memory ran out; 2.00 GiB more were asked for; GPU 1 has")
    assert text.endswith("None of its settings is left to lower: it takes a GPU with more memory.")
