"""Two processes of methods that draw random numbers or use batch statistics: each device has its own.

Such a training does not equal one process with the doubled batch, but two replicas whose gradients are averaged.
"""

import os
import random
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor

from cyclegan.losses.penalties import GradientPenalty
from cyclegan.methods.cut import CUT, LossWeights, mirror
from cyclegan.methods.discogan import DiscoGAN
from cyclegan.methods.dualgan import DualGAN
from cyclegan.methods.translator import Batch, Translator
from cyclegan.networks.antialiased import AntialiasedPatchDiscriminator, AntialiasedResnetGenerator
from cyclegan.networks.discogan import DiscoDiscriminator, DiscoGenerator
from cyclegan.networks.dualgan import DualDiscriminator, DualGenerator
from cyclegan.networks.init import normal
from tests.small import fit, random_batches
from tests.train.torture import end_all, environment, fork

TIMEOUT = 150  # seconds
STEPS = 6
PLAYERS = {"generators": ("gen", "gen_ab", "gen_ba", "sampler"), "discriminators": ("disc", "disc_a", "disc_b")}

Turns = Iterator[tuple[str, dict[str, Tensor]]]
"""The player of each update, and the terms of its loss."""


def fastcut() -> CUT:
    return CUT(
        partial(AntialiasedResnetGenerator, width=4, blocks=2),
        partial(AntialiasedPatchDiscriminator, width=4, layers=1),
        init=partial(normal, std=0.1),
        loss_weights=LossWeights(nce=10),
        identity=False,
        flip_equivariance=True,
        patches=20,
        schedule=lambda epoch: 1.0,
    )


def turns_of_fastcut(model: Any, batches: list[Batch]) -> Turns:
    for batch in batches:
        mirrored = random.random() < 0.5
        fake = model.gen(mirror(batch["A"], mirrored))
        yield "discriminators", model.discriminator_losses(batch["B"], fake)
        yield "generators", model.generator_losses(batch["A"], batch["B"], fake, None, mirrored)


def dualgan() -> DualGAN:
    return DualGAN(
        partial(DualGenerator, width=4, downs=3),
        partial(DualDiscriminator, width=4, layers=3, image_size=16),
        penalty=GradientPenalty(),
    )


def turns_of_dualgan(model: Any, batches: list[Batch]) -> Turns:
    for batch in batches:
        images = model.fakes(batch)
        yield "discriminators", model.discriminator_losses(images)
        yield "generators", model.generator_losses(images)


def discogan() -> DiscoGAN:
    return DiscoGAN(partial(DiscoGenerator, width=2), partial(DiscoDiscriminator, width=2))


def turns_of_discogan(model: Any, batches: list[Batch]) -> Turns:
    for number, batch in enumerate(batches):
        if number % 3 == 0:
            yield "discriminators", model.discriminator_losses(batch)
        else:
            yield "generators", model.generator_losses(batch)


METHODS: dict[str, tuple[Callable[[], Translator], Callable[[Any, list[Batch]], Turns], int]] = {
    "fastcut": (fastcut, turns_of_fastcut, 16),
    "dualgan": (dualgan, turns_of_dualgan, 16),
    "discogan": (discogan, turns_of_discogan, 64),
}
"""For each method its model, the turns of its training, and the size of its images."""


def built(name: str) -> Translator:
    torch.manual_seed(0)
    return METHODS[name][0]().double()


def batches_of(name: str, rank: int) -> list[Batch]:
    """Return a device's share of each batch of four: two images of each domain."""
    batches = random_batches(STEPS, size=4, pixels=METHODS[name][2], dtype=torch.float64)
    return [{domain: images[rank::2] for domain, images in batch.items()} for batch in batches]


def seed(rank: int) -> None:
    """Give each device random numbers of its own, as a run does."""
    torch.manual_seed(10 + rank)
    random.seed(10 + rank)


def run_rank(rank: int, name: str, variables: dict[str, str], folder: Path) -> None:
    """Train on one of two devices, and save the weights."""
    os.setsid()
    os.environ.update(variables)
    model = built(name)
    # The loader has drawn a seed before.
    seeding = LambdaCallback(on_train_epoch_start=lambda *_: seed(rank))
    options: dict[str, Any] = {"strategy": "ddp", "devices": 2, "precision": "64-true", "callbacks": [seeding]}
    fit(model, batches_of(name, rank), **options, use_distributed_sampler=False)
    torch.save(model.state_dict(), folder / f"{rank}.pt")


def trained_by_two_processes(name: str, folder: Path) -> list[dict[str, Tensor]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "TORCHELASTIC_RUN_ID": "test"}
    processes = []
    try:
        for rank in range(2):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "GROUP_RANK": "0"}
            processes.append(fork(run_rank, rank, name, environment() | meeting | place, folder))
        for process in processes:
            process.join(TIMEOUT)
        assert [process.exitcode for process in processes] == [0, 0]
    finally:
        for process in processes:
            end_all(process)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def with_own_random_numbers(rank: int, turns: Turns) -> Turns:
    seed(rank)
    state = torch.get_rng_state(), random.getstate()
    while True:
        torch.set_rng_state(state[0])
        random.setstate(state[1])
        turn = next(turns, None)
        state = torch.get_rng_state(), random.getstate()
        if turn is None:
            return
        yield turn


def trained_as_replicas(name: str) -> list[Translator]:
    """Train two replicas in one process, whose gradients are averaged."""
    _, turns_of, _ = METHODS[name]
    replicas = [built(name), built(name)]
    weights = [{player: weights_of(replica, player) for player in PLAYERS} for replica in replicas]
    optimizers = [
        {player: replica.make_optimizer([{"params": own[player]}]) for player in PLAYERS}  # type: ignore[operator]
        for replica, own in zip(replicas, weights, strict=True)
    ]
    turns = [turns_of(replica, batches_of(name, rank)) for rank, replica in enumerate(replicas)]
    for both in zip(*map(with_own_random_numbers, range(2), turns), strict=True):
        gradients = [
            torch.autograd.grad(torch.stack(list(terms.values())).sum(), weights[rank][player])
            for rank, (player, terms) in enumerate(both)
        ]
        for rank, (player, _) in enumerate(both):
            for weight, one, two in zip(weights[rank][player], *gradients, strict=True):
                weight.grad = (one + two) / 2
            optimizers[rank][player].step()
    return replicas


def weights_of(model: Translator, player: str) -> list[Tensor]:
    networks = [network for name, network in model.named_children() if name in PLAYERS[player]]
    return [weight for network in networks for weight in network.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_equal_two_replicas_with_averaged_gradients(tmp_path: Path, name: str) -> None:
    """The running statistics of batch norm are those of the first device."""
    start = built(name).state_dict()
    first, second = trained_by_two_processes(name, tmp_path)
    replicas = trained_as_replicas(name)
    for weight, value in replicas[0].state_dict().items():
        assert (first[weight] - value).abs().max() <= 1e-9, weight
    for weight, value in replicas[1].named_parameters():
        assert (second[weight] - value).abs().max() <= 1e-9, weight
    moved = {weight.split(".")[0] for weight, value in first.items() if (value != start[weight]).any()}
    assert moved == {part for part, _ in replicas[0].named_children()}
