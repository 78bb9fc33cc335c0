"""Write the generators of a checkpoint in half precision, as safetensors files below 16 MB.

Each file holds whole tensors; the state dict of a generator is the union of its files.

python benchmarks/half_precision.py runs/NAME OUT
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

import cyclegan

LIMIT = 15_900_000  # bytes of tensors; the rest is the file's header


def parts(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Divide tensors, in their order, into as few files as that order allows."""
    found: list[dict[str, Tensor]] = [{}]
    room = LIMIT
    for name, tensor in tensors.items():
        if tensor.nbytes > room and found[-1]:
            found.append({})
            room = LIMIT
        found[-1][name] = tensor
        room -= tensor.nbytes
    return found


def main(run: str, out: str) -> None:
    for name, network in cyclegan.load(run).generators().items():
        files = parts({key: tensor.half().contiguous() for key, tensor in network.state_dict().items()})
        for number, tensors in enumerate(files, 1):
            save_file(tensors, Path(out, f"{name}-{number}of{len(files)}.safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:])
