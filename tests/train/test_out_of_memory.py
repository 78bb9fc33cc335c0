"""What counts as running out of memory, and the settings that need less."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from cyclegan.errors import RunError
from cyclegan.train.compatible import require_continuable
from cyclegan.train.configuration import conf_dir
from cyclegan.train.out_of_memory import SETTINGS, is_out_of_memory, remedies

CUDA = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 79.10 GiB of which 1.20 GiB is "
    "free. Process 17 has 40.00 GiB memory in use. Including non-PyTorch memory, this process has 37.90 GiB memory "
    "in use. Of the allocated memory 30.01 GiB is allocated by PyTorch, and 1.10 GiB is reserved but unallocated."
)


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


WITH_LITTLE_MEMORY = """
import pathlib, resource, sys
import torch
from cyclegan.data.loader import PositionLoader
from cyclegan.data.loader import PositionSampler
from cyclegan.train.out_of_memory import is_out_of_memory
from tests.data.test_loader import Positions

class Large(Positions):
    def __getitem__(self, position):
        return {"A": torch.zeros(40 << 20)}  # 160 MB

held = list(PositionLoader(Positions(), PositionSampler(1, 1)))  # all is imported
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    held += PositionLoader(Large(), PositionSampler(100, 1), num_workers=int(sys.argv[1]))
except Exception as error:
    sys.exit(0 if is_out_of_memory(error) else repr(error))
sys.exit("16 GB came")
"""


@pytest.mark.slow  # imports torch once more
@pytest.mark.parametrize(("num_workers", "room"), [(0, 500 << 20), (1, 500 << 20), (1, 100 << 20), (1, 0)])
def test_shortages_of_real_processes_are_recognised(num_workers: int, room: int) -> None:
    """In the main process, in a worker, while a batch of its is mapped, and where no process can be started."""
    words = [sys.executable, "-c", WITH_LITTLE_MEMORY, str(num_workers), str(room)]
    folder = Path(__file__).parents[2]
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        ValueError("an image called out of memory.png"),
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


# ------------------------------------------------------------------------------------ the remedies


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", ["experiment=folders", "data.root=images", *overrides])


def test_one_line_names_what_ran_out_and_the_settings_as_they_are() -> None:
    error = raised(wrapping(CUDA, explicitly=True))
    assert remedies(composed("data.batch_size=4"), error) == (
        "the GPU's memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 79.10 "
        "GiB of which 1.20 GiB is free). What counts most, with what needs less: data.batch_size=4 (lower), "
        "data.crop_size=256 (lower, with data.load_size), model.generator.width=64 (lower), "
        "model.generator.activation_checkpointing=false (true), trainer.precision=32-true (bf16-mixed on a GPU), "
        "data.num_workers=2 (lower, for the computer's memory). The generator's activation_checkpointing, the "
        "precision and the workers may change in a run that resume=auto goes on with; any other change makes it "
        "another run"
    )


def shortage_of_the_system() -> None:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.empty(10**15), "the computer's memory ran out ([enforce fail at alloc_cpu.cpp"),
        (lambda: bytearray(10**15), "the computer's memory ran out (MemoryError)"),
        (shortage_of_the_system, "the computer's memory ran out ([Errno 12] Cannot allocate memory)"),
    ],
)
def test_whose_memory_it_was(make: Callable[[], object], words: str) -> None:
    assert remedies(composed(), raised(make)).startswith(words)


def test_of_a_text_with_a_traceback_the_line_that_counts_is_quoted() -> None:
    text = "Caught RuntimeError in pin memory thread for device 0.\nTraceback\nCUDA error: out of memory\nCompile"
    assert remedies(composed(), RuntimeError(text)).startswith("the GPU's memory ran out (CUDA error: out of memory). ")


@pytest.mark.parametrize("key", SETTINGS)
def test_what_may_change_on_a_resume_is_what_the_line_says(key: str) -> None:
    change = {"trainer.precision": "bf16-mixed", "model.generator.activation_checkpointing": "true"}.get(key, "12")
    before, after = (OmegaConf.to_container(composed(*words), resolve=True) for words in ((), (f"{key}={change}",)))
    try:
        require_continuable(before, after)  # type: ignore[arg-type]
        continuable = True
    except RunError:
        continuable = False
    assert continuable == (key in list(SETTINGS)[3:])


def test_keys_that_another_method_lacks_are_left_out() -> None:
    text = remedies(OmegaConf.create({"data": {"crop_size": 8}, "model": None}), CUDA)
    assert "needs less: data.crop_size=8 (lower, with data.load_size). " in text
