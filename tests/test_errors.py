"""The line about a missing package, and the recognition of out-of-memory errors."""

import errno
import os
import tomllib
from pathlib import Path

import pytest
import torch

from cyclegan.errors import EXTRAS, is_out_of_memory, missing


def test_a_missing_module_is_named_with_the_line_that_installs_it() -> None:
    assert missing("optuna.trial") == "the package optuna, which is not installed: pip install 'cyclegan[search]'"
    assert missing("torch_fidelity") == "the package torch-fidelity, which is not installed: pip install torch-fidelity"


def test_each_extra_that_an_error_names_brings_the_module() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for module, extra in EXTRAS.items():
        assert any(module in requirement for requirement in project["optional-dependencies"][extra])
        assert not any(requirement.startswith(module) for requirement in project["dependencies"])


def caught(error: BaseException, **cause: BaseException | None) -> BaseException:
    """Return an error that was raised while `error` was handled, or from `cause`."""
    try:
        try:
            raise error
        except type(error):
            if cause:
                raise ValueError("the run failed") from cause["cause"]
            raise ValueError("the run failed")  # noqa: B904
    except ValueError as raised:
        return raised


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 6.77 GB, max allowed: 9.07 GB)."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("unable to mmap 4096 bytes from file </torch_1>: Cannot allocate memory (12)"),
        RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nDefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
    ids=lambda error: f"{type(error).__name__}: {str(error)[:40]}",
)
def test_each_kind_is_recognised_also_behind_another_error(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert is_out_of_memory(caught(error))
    assert is_out_of_memory(caught(error, cause=error))
    assert not is_out_of_memory(caught(error, cause=None)), "raise ... from None is another matter"


def test_the_error_of_a_real_allocation_is_recognised() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**15)
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        ValueError("an image called out of memory.png"),
        FileNotFoundError(errno.ENOENT, "no such file"),
    ],
)
def test_other_errors_are_not_recognised(error: BaseException) -> None:
    assert not is_out_of_memory(error)
