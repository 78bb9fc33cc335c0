"""Estimate of the memory that training takes."""

import random
from functools import partial
from typing import Any

import pytest
import torch

from cyclegan.callbacks.memory import Memory, estimate
from cyclegan.methods.cut import CUT
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.methods.pix2pix import Pix2Pix
from cyclegan.methods.translator import Translator
from cyclegan.networks.antialiased import AntialiasedResnetGenerator
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.networks.unet import UnetGenerator
from tests.small import random_batches, small_cyclegan

CPU = torch.device("cpu")


def memory(
    model: Translator, crop: int = 32, batch: int = 1, precision: torch.dtype | None = None, **more: Any
) -> Memory:
    autocast = partial(torch.autocast, "cpu", precision, enabled=precision is not None)
    return estimate(model, crop, batch, CPU, autocast, **more)


def bytes_saved_by_autograd(model: CycleGAN, batch: dict[str, torch.Tensor]) -> int:
    """Return the bytes of all distinct tensors that autograd keeps between forward and backward pass."""
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {parameter.data_ptr() for parameter in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        cycle = model.cycle(batch["A"], batch["B"])
        losses = model.generator_losses(cycle) | model.discriminator_losses(cycle)
    assert losses
    return sum(size for address, size in storages.items() if address not in weights)


def test_a_step_takes_what_autograd_keeps_and_the_gradients() -> None:
    model = small_cyclegan(pool_size=0)
    (batch,) = random_batches(1, size=2, pixels=64)
    kept = bytes_saved_by_autograd(model, batch)
    gradients = sum(4 * parameter.numel() for parameter in model.parameters())
    # Above that come the largest temporary tensors.
    assert kept + gradients <= memory(model, crop=64, batch=2).step <= 1.05 * (kept + gradients)


def test_counts_weights_adam_averages_and_full_pools() -> None:
    model = small_cyclegan(pool_size=7)
    weights, generators = (
        sum(4 * parameter.numel() for network in networks for parameter in network.parameters())
        for networks in ([model], model.generators().values())
    )
    plain, averaged = memory(model), memory(model, precision=torch.bfloat16, averaged=True)
    assert plain.state == weights + 2 * weights
    assert averaged.state == plain.state + generators
    assert plain.pools == 2 * 7 * 3 * 32 * 32 * 4
    assert averaged.pools == plain.pools / 2  # generated images are bfloat16 there
    assert plain.total == plain.state + plain.pools + plain.step


def test_a_step_of_a_large_batch_is_extrapolated() -> None:
    (batch,) = random_batches(1, size=5, pixels=64)
    kept = bytes_saved_by_autograd(small_cyclegan(), batch)
    assert memory(small_cyclegan(), crop=64, batch=5).step == pytest.approx(kept, rel=0.1)


def test_checkpointing_and_bfloat16_take_less() -> None:
    blocks = partial(ResnetGenerator, width=4, blocks=4)
    plain = memory(small_cyclegan(generator=blocks), crop=64).step
    assert memory(small_cyclegan(generator=blocks), crop=64, precision=torch.bfloat16).step < 0.65 * plain
    checkpointed = small_cyclegan(generator=partial(blocks, activation_checkpointing=True))
    assert memory(checkpointed, crop=64).step < 0.75 * plain


def test_a_step_has_the_parts_that_are_not_in_every_step() -> None:
    (batch,) = random_batches(1, size=2, pixels=32)
    rare = small_cyclegan(pool_size=0, n_critic=5)
    assert memory(rare, batch=2).step >= bytes_saved_by_autograd(rare, batch)


def test_changes_neither_the_model_nor_random_numbers() -> None:
    model = small_cyclegan(pool_size=3)
    (batch,) = random_batches(1)
    model.pool_a.query(batch["A"])
    before = [torch.get_rng_state(), model.pool_a._rng.get_state(), *(p.clone() for p in model.parameters())]
    memory(model, batch=2)
    after = [torch.get_rng_state(), model.pool_a._rng.get_state(), *model.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert len(model.pool_a) == 1
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_step_that_draws_random_numbers_leaves_them_as_they_are() -> None:
    """Whether a batch is mirrored is no tensor, whose value a fake step does not have."""
    fastcut = CUT(partial(AntialiasedResnetGenerator, width=4, blocks=2), flip_equivariance=True, patches=8)
    before = random.getstate()
    assert memory(fastcut, crop=32).step > 0
    assert random.getstate() == before


def test_a_method_that_takes_turns_never_holds_the_gradients_of_both_players() -> None:
    """With wide networks and small images, a step takes little but gradients."""
    model = Pix2Pix(partial(UnetGenerator, width=32, downs=4), partial(PatchDiscriminator, width=32))
    players = [sum(4 * p.numel() for p in network.parameters()) for network in (model.gen, model.disc)]
    assert min(players) > 0.25 * max(players)
    assert max(players) < memory(model, crop=32).step < sum(players)
