"""DiscoGAN: its steps, compared with the authors' code in plain PyTorch, and its arguments."""

import copy
import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import RunError, UserError
from cyclegan.methods.discogan import DiscoGAN, LossWeights
from cyclegan.networks.discogan import DiscoDiscriminator, DiscoGenerator
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.train.command import train
from tests.small import fit, random_batches
from tests.tiny_run import METHODS, composed


def small_discogan(**arguments: Any) -> DiscoGAN:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        "generator": partial(DiscoGenerator, width=2),
        "discriminator": partial(DiscoDiscriminator, width=2),
    }
    return DiscoGAN(**defaults | arguments)


def train_as_the_authors(model: DiscoGAN, batches: list[dict[str, Tensor]], curriculum: int) -> None:
    """All losses in every iteration, of which one player's is minimised (discogan/image_translation.py)."""
    gens, discs = [model.gen_ab, model.gen_ba], [model.disc_a, model.disc_b]
    adam = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999), weight_decay=1e-5)
    opt_g, opt_d = (adam(itertools.chain(*(net.parameters() for net in nets))) for nets in (gens, discs))

    def generate(gen: nn.Module, images: Tensor) -> Tensor:  # images in [0, 1]
        return gen.main(images)  # type: ignore[no-any-return, operator]

    def judge(disc: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        scores, features = disc.scores_and_features(2 * images - 1)  # type: ignore[operator]
        return scores.sigmoid(), features

    def bce(scores: Tensor, label: float) -> Tensor:
        return F.binary_cross_entropy(scores, torch.full_like(scores, label))

    def matching(real: list[Tensor], fake: list[Tensor]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for one, other in zip(real, fake, strict=True):
            l2 = (one.mean(0) - other.mean(0)) * (one.mean(0) - other.mean(0))
            total += F.hinge_embedding_loss(l2, torch.ones_like(l2))
        return total

    for iteration, batch in enumerate(batches):
        a, b = (batch["A"] + 1) / 2, (batch["B"] + 1) / 2
        ab, ba = generate(model.gen_ab, a), generate(model.gen_ba, b)
        aba, bab = generate(model.gen_ba, ab), generate(model.gen_ab, ba)
        a_real, a_features = judge(model.disc_a, a)
        a_fake, ba_features = judge(model.disc_a, ba)
        b_real, b_features = judge(model.disc_b, b)
        b_fake, ab_features = judge(model.disc_b, ab)
        rate = 0.01 if iteration < curriculum else 0.5
        loss_d = 0.5 * (bce(a_real, 1) + bce(a_fake, 0)) + 0.5 * (bce(b_real, 1) + bce(b_fake, 0))
        loss_a = (bce(b_fake, 1) * 0.1 + matching(b_features, ab_features) * 0.9) * (1 - rate)
        loss_b = (bce(a_fake, 1) * 0.1 + matching(a_features, ba_features) * 0.9) * (1 - rate)
        loss_g = loss_a + F.mse_loss(aba, a) * rate + loss_b + F.mse_loss(bab, b) * rate
        for net in (*gens, *discs):
            net.zero_grad()
        if iteration % 3 == 0:
            loss_d.backward()
            opt_d.step()
        else:
            loss_g.backward()
            opt_g.step()


def test_eight_steps_equal_those_of_the_authors() -> None:
    """The rate changes between the two generators' steps 4 and 5.

    The authors reconstruct in the discriminators' steps too, which moves only the generators' running statistics.
    """
    batches = random_batches(8, size=2, pixels=64, dtype=torch.float64)
    model = small_discogan(loss_weights=LossWeights(curriculum=5)).double()
    before, reference = copy.deepcopy(model.state_dict()), copy.deepcopy(model).train()
    trainer = fit(model, batches, precision="64-true")
    train_as_the_authors(reference, batches, curriculum=5)

    state = model.state_dict()
    assert all((state[name] != value).any() for name, value in before.items())
    for name, value in reference.state_dict().items():
        if not (name.startswith("gen") and ("running" in name or "tracked" in name)):
            assert (state[name] - value).abs().max() <= 1e-9, name
    assert trainer.global_step == 8


@pytest.mark.parametrize(("steps", "moved"), [(1, {"disc_a", "disc_b"}), (2, {"disc_a", "disc_b", "gen_ab", "gen_ba"})])
def test_a_step_trains_one_player(steps: int, moved: set[str]) -> None:
    model = small_discogan()
    before = {name: value.clone() for name, value in model.named_parameters()}
    fit(model, random_batches(steps, size=2, pixels=64))
    assert {name.split(".")[0] for name, value in model.named_parameters() if (value != before[name]).any()} == moved


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": {"A": 3}}, "DiscoGAN needs two domains"),
        ({"update_interval": 1}, "model.update_interval is 1; .*: 2 or more"),
        ({"discriminator": PatchDiscriminator}, "PatchDiscriminator gives no features .*discriminator=discogan"),
    ],
)
def test_unsuitable_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_discogan(**arguments)


@pytest.mark.usefixtures("quiet")
def test_a_batch_of_one_is_refused_before_the_first(tmp_path: Path, root: Path) -> None:
    with pytest.raises(RunError, match=r"data\.batch_size is 1, but DiscoGAN .* set data\.batch_size=2"):
        train(composed(tmp_path / "run", root, *METHODS["discogan"], "data.batch_size=1"))
    assert not list((tmp_path / "run").glob("[!.]*"))
