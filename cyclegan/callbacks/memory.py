"""An estimate of the memory that training takes on a device."""

import random
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from pytorch_lightning.profilers import PassThroughProfiler
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cyclegan.image_pool import ImagePool
from cyclegan.methods.translator import Translator


@dataclass(frozen=True)
class Memory:
    """What training takes on a device, in bytes."""

    state: int
    """Weights, the optimiser's state, and the averaged generators."""

    pools: int
    """Full image pools."""

    step: int
    """Gradients, activations and temporary tensors at the peak of a step."""

    @property
    def total(self) -> int:
        return self.state + self.pools + self.step


def estimate(
    translator: Translator,
    crop_size: int,
    batch_size: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]],
    averaged: bool = False,
) -> Memory:
    """Return the memory of training, from a step with tensors that have no data.

    It takes about a second and no memory, and changes neither the translator nor any random numbers. The optimiser is
    taken to keep two values for each weight, as Adam does. Not counted are the CUDA context (about 0.5 GB), workspaces
    of cuDNN, fragmentation, copies of gradients that DDP sends, and validation; `torch.compile` keeps less.

    Args:
        translator: a method whose `training_step` returns a loss or takes turns, and does not depend on the values of
            tensors.
        crop_size: height and width of the images.
        batch_size: number of images of each domain.
        device: the device of training. Kernels differ between devices, and so does what autograd keeps.
        autocast: returns the context of `training_step`, which sets the precision.
        averaged: whether training averages the weights of the generators.
    """
    # The memory of a step is linear in the batch size, and fake steps of large batches take long.
    drawn = random.getstate()
    step, pools = _step(translator, crop_size, min(batch_size, 2), device, autocast)
    if batch_size > 2:
        smaller, _ = _step(translator, crop_size, 1, device, autocast)
        step += (batch_size - 2) * (step - smaller)
    random.setstate(drawn)  # torch's numbers are not drawn in fake steps, and Python's are
    generators = (weight for network in translator.generators().values() for weight in network.parameters())
    return Memory(3 * _bytes(translator.parameters()) + (_bytes(generators) if averaged else 0), pools, step)


def _step(
    translator: Translator,
    crop_size: int,
    batch_size: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> tuple[int, int]:
    """Return the bytes of a step at its peak, without weights, and of full image pools."""
    with FakeTensorMode(allow_non_fake_inputs=True), _Living() as living:
        # Pools that are filled by this batch draw no random numbers.
        copies: dict[int, Any] = {
            id(pool): ImagePool(min(pool.size, batch_size)) for pool in translator.pools().values()
        }
        for tensor in (*translator.parameters(), *translator.buffers()):
            fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
            copies[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
        copy = deepcopy(translator, copies)
        copy.log = copy.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
        # What is done in one of several steps is done when the number of steps with this one is divisible, as 0 is.
        copy._trainer = SimpleNamespace(global_step=-1, is_last_batch=False)  # type: ignore[assignment]
        weights = living.bytes
        size = (crop_size, crop_size)
        batch = {domain: torch.empty(batch_size, n, *size, device=device) for domain, n in copy.channels.items()}
        if copy.automatic_optimization:
            for weight in copy.parameters():
                weight.grad = torch.empty_like(weight)  # of the step before, which Lightning drops after a forward pass
            with autocast():
                loss = copy.training_step(batch, 0)
            assert isinstance(loss, Tensor)
            copy.zero_grad()
            loss.backward()
        else:
            _let_take_turns(copy)
            with autocast():
                copy.training_step(batch, 0)
        stored = [
            (pool.size, copy.pools()[name].state_dict()["images"][:1]) for name, pool in translator.pools().items()
        ]
    return living.peak - weights, sum(count * _bytes(images) for count, images in stored)


def _let_take_turns(copy: Any) -> None:
    """Replace what `take_turn` uses of Lightning by the same without updates."""
    optimizer = SimpleNamespace(
        param_groups=copy.configure_optimizers()["optimizer"].param_groups,
        optimizer=None,
        step=lambda: None,
        zero_grad=copy.zero_grad,
    )
    copy.optimizers = lambda: optimizer
    copy.manual_backward = lambda loss: loss.backward()
    copy.trainer.strategy = SimpleNamespace(optimizer_step=lambda *_, **__: None)
    copy.trainer.profiler = PassThroughProfiler()


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Living(TorchDispatchMode):
    """Counts the bytes of the tensors that were made within it and still exist."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.peak = 0
        self._storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._storages:  # else a view, or changed in place
            self._storages.add(storage._cdata)
            self.bytes += storage.nbytes()
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, storage: int, size: int) -> None:
        self._storages.discard(storage)
        self.bytes -= size
