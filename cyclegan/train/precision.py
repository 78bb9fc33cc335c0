"""The precision of a run that names none."""

from collections.abc import Mapping
from typing import Any

import torch

HARDWARE = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""What CPUs call instructions for bfloat16, as in `torch.cpu.get_capabilities`."""


def default_precision(accelerator: str, resumed: Mapping[str, Any] | None) -> str:
    """Return bf16-mixed if the device computes in bfloat16, else 32-true; a resumed run keeps its precision.

    Without such hardware, bfloat16 is emulated, which is slower than float32.

    Args:
        accelerator: `trainer.accelerator`.
        resumed: the configuration of the run that is resumed; None for a new run.
    """
    if resumed and (precision := resumed["trainer"].get("precision")):
        return str(precision)
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available()):
        fast = any(torch.cpu.get_capabilities().get(name) for name in HARDWARE)
    else:
        fast = False
    return "bf16-mixed" if fast else "32-true"
