"""The precision of a run that names none."""

from types import MappingProxyType

import pytest
import torch

from cyclegan.train.precision import default_precision


@pytest.mark.parametrize(
    ("accelerator", "gpu", "cpu", "chosen"),
    [
        ("auto", True, {}, "bf16-mixed"),
        ("auto", False, {"avx512_bf16": True}, "32-true"),  # a GPU that emulates bfloat16
        ("auto", None, {"amx_bf16": True}, "bf16-mixed"),
        ("auto", None, {"avx512_f": True, "avx512_bf16": False}, "32-true"),
        ("cpu", True, {}, "32-true"),
        ("cpu", None, {"bf16": True}, "bf16-mixed"),  # ARM
        ("mps", None, {"bf16": True}, "32-true"),
    ],
)
def test_bfloat16_is_chosen_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, gpu: bool | None, cpu: dict[str, bool], chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or gpu)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(cpu))
    assert default_precision(accelerator, None) == chosen


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_a_resumed_run_keeps_its_precision(precision: str) -> None:
    assert default_precision("cpu", {"trainer": {"precision": precision}}) == precision
