"""Training steps of CycleGAN, compared with plain PyTorch, and the arguments of CycleGAN."""

import copy
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import Wasserstein
from cyclegan.losses.penalties import R1, GradientPenalty
from cyclegan.methods.cyclegan import LossWeights
from cyclegan.networks.batching import together
from cyclegan.networks.encoder_decoder import EncoderDecoder
from cyclegan.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.networks.strided import StridedDiscriminator
from cyclegan.networks.unet import UnetGenerator
from cyclegan.optim import Constant, Linear
from tests.small import fit, generator, random_batches, small_cyclegan

NETWORKS = ("gen_ab", "gen_ba", "disc_a", "disc_b")


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def largest_difference(one: nn.Module, other: nn.Module) -> float:
    theirs = weights(other)
    return max(float((p - theirs[name]).abs().max()) for name, p in weights(one).items())


def train_in_plain_pytorch(nets: dict[str, nn.Module], batches: list[dict[str, Tensor]], n_critic: int) -> None:
    """Train generators, then discriminators, with an optimizer each; an image pool would still be filling.

    The generators are trained in every n-th step.
    """
    gen_ab, gen_ba, disc_a, disc_b = (nets[name] for name in NETWORKS)
    adam = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
    opt_g = adam([*gen_ab.parameters(), *gen_ba.parameters()])
    opt_d = adam([*disc_a.parameters(), *disc_b.parameters()])

    def mse_to(scores: Tensor, label: float) -> Tensor:
        return ((scores - label) ** 2).mean()

    for number, batch in enumerate(batches, 1):
        real_a, real_b = batch["A"], batch["B"]
        fake_b, fake_a = gen_ab(real_a), gen_ba(real_b)
        rec_a, rec_b = gen_ba(fake_b), gen_ab(fake_a)

        for parameter in [*disc_a.parameters(), *disc_b.parameters()]:
            parameter.requires_grad_(False)
        opt_g.zero_grad()
        loss_g = (
            mse_to(disc_b(fake_b), 1)
            + mse_to(disc_a(fake_a), 1)
            + 10 * F.l1_loss(rec_a, real_a)
            + 10 * F.l1_loss(rec_b, real_b)
            + 10 * 0.5 * F.l1_loss(gen_ba(real_a), real_a)
            + 10 * 0.5 * F.l1_loss(gen_ab(real_b), real_b)
        )
        if number % n_critic == 0:
            loss_g.backward()
            opt_g.step()

        for parameter in [*disc_a.parameters(), *disc_b.parameters()]:
            parameter.requires_grad_(True)
        opt_d.zero_grad()
        for disc, real, fake in ((disc_a, real_a, fake_a.detach()), (disc_b, real_b, fake_b.detach())):
            (0.5 * (mse_to(disc(real), 1) + mse_to(disc(fake), 0))).backward()
        opt_d.step()


@pytest.mark.parametrize("n_critic", [1, 3])
def test_training_equals_plain_pytorch_with_two_optimizers(n_critic: int) -> None:
    batches = random_batches(7, dtype=torch.float64)
    model = small_cyclegan(schedule=Constant(), n_critic=n_critic).double()
    reference = copy.deepcopy(model)
    before = weights(model)

    trainer = fit(model, batches, precision="64-true")
    train_in_plain_pytorch({name: getattr(reference, name) for name in NETWORKS}, batches, n_critic)

    moved = max(float((p - before[name]).abs().max()) for name, p in weights(model).items())
    assert moved > 1e-3, "seven Adam steps of 2e-4 move the weights far more than the tolerance"
    assert largest_difference(model, reference) < 1e-9
    steps = {name: trainer.optimizers[0].state[p]["step"].item() for name, p in model.named_parameters()}
    assert {count for name, count in steps.items() if name.startswith("gen")} == {7 // n_critic}
    assert {count for name, count in steps.items() if name.startswith("disc")} == {7}


def test_losses_equal_the_written_out_terms() -> None:
    model = small_cyclegan()
    batch = random_batches(1, size=2)[0]
    cycle = model.cycle(batch["A"], batch["B"])
    losses = model.generator_losses(cycle) | model.discriminator_losses(cycle)
    assert cycle.idt_a is not None
    assert cycle.idt_b is not None
    torch.testing.assert_close(cycle.fake_b, model.gen_ab(batch["A"]))
    torch.testing.assert_close(cycle.idt_a, model.gen_ba(batch["A"]))
    torch.testing.assert_close(cycle.rec_b, model.gen_ab(model.gen_ba(batch["B"])))
    expected = {
        "adv_ab": ((model.disc_b(cycle.fake_b) - 1) ** 2).mean(),
        "adv_ba": ((model.disc_a(cycle.fake_a) - 1) ** 2).mean(),
        "cycle_a": 10 * (cycle.rec_a - batch["A"]).abs().mean(),
        "cycle_b": 10 * (cycle.rec_b - batch["B"]).abs().mean(),
        "identity_a": 5 * (cycle.idt_a - batch["A"]).abs().mean(),
        "identity_b": 5 * (cycle.idt_b - batch["B"]).abs().mean(),
        "disc_a": 0.5 * ((model.disc_a(batch["A"]) - 1) ** 2).mean() + 0.5 * (model.disc_a(cycle.fake_a) ** 2).mean(),
        "disc_b": 0.5 * ((model.disc_b(batch["B"]) - 1) ** 2).mean() + 0.5 * (model.disc_b(cycle.fake_b) ** 2).mean(),
    }
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, msg=name)


def test_each_loss_reaches_only_the_networks_that_it_trains() -> None:
    model = small_cyclegan()
    batch = random_batches(1)[0]
    cycle = model.cycle(batch["A"], batch["B"])
    torch.stack(list(model.generator_losses(cycle).values())).sum().backward(retain_graph=True)
    assert all(p.grad is None for d in (model.disc_a, model.disc_b) for p in d.parameters())
    model.zero_grad()
    torch.stack(list(model.discriminator_losses(cycle).values())).sum().backward()
    assert all(p.grad is None for g in (model.gen_ab, model.gen_ba) for p in g.parameters())


def test_terms_of_weight_zero_are_zero_or_left_out() -> None:
    model = small_cyclegan(loss_weights=LossWeights(adversarial=0.0, cycle_a=10.0, cycle_b=0.0, identity=0.0))
    batch = random_batches(1)[0]
    cycle = model.cycle(batch["A"], batch["B"])
    assert cycle.idt_a is None
    losses = model.generator_losses(cycle)
    assert "identity_a" not in losses
    assert losses["adv_ab"] == losses["adv_ba"] == losses["cycle_b"] == 0
    assert losses["cycle_a"] > 0


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (generator(), [3]),
        (EncoderDecoder(widths=(4, 8), norm="batch"), [2, 1]),
        (nn.Conv2d(3, 1, 3), [2, 1]),  # does not say whether it mixes samples
    ],
)
def test_two_batches_are_joined_unless_the_network_may_mix_samples(network: nn.Module, expected: list[int]) -> None:
    first, second = torch.rand(2, 3, 16, 16), torch.rand(1, 3, 16, 16)
    calls: list[int] = []
    hook = network.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    results = together(network, first, second)
    hook.remove()
    assert calls == expected
    for result, inputs in zip(results, (first, second), strict=True):
        torch.testing.assert_close(result, network(inputs))


@pytest.mark.parametrize(
    "network",
    [ResnetGenerator, UnetGenerator, EncoderDecoder, PatchDiscriminator, PixelDiscriminator, StridedDiscriminator],
)
def test_every_network_states_whether_it_mixes_samples(network: Any) -> None:
    for norm, mixes in (("instance", False), ("batch", True), ("none", False)):
        built = network(norm=norm)
        assert built.mixes_samples == mixes
        assert any(isinstance(part, nn.BatchNorm2d) for part in built.modules()) == mixes


def test_wasserstein_trains_with_gradient_penalty_and_has_no_discriminator_score() -> None:
    model = small_cyclegan(adversarial=Wasserstein(), penalty=GradientPenalty(weight=10.0), schedule=Constant())
    trainer = fit(model, random_batches(2))
    assert trainer.callback_metrics["train/penalty_a"] > 0
    batch = random_batches(1)[0]
    assert model.discriminator_score(batch["A"], "A") is None
    model.zero_grad()
    model.discriminator_losses(model.cycle(batch["A"], batch["B"]))["penalty_b"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.disc_b.parameters())


@pytest.mark.parametrize("n_critic", [1, 2])
def test_accumulation_of_two_equals_a_batch_of_two(n_critic: int) -> None:
    pairs = random_batches(4, size=2, dtype=torch.float64)
    singles = [{d: images[i : i + 1] for d, images in pair.items()} for pair in pairs for i in range(2)]
    one, two = (small_cyclegan(schedule=Constant(), n_critic=n_critic).double() for _ in range(2))
    assert fit(one, pairs, precision="64-true").global_step == 4
    assert fit(two, singles, precision="64-true", accumulate_grad_batches=2).global_step == 4
    assert largest_difference(one, two) < 1e-9


def test_generators_and_discriminators_are_clipped_separately() -> None:
    # With SGD and learning rate 1 each step is the clipped gradient.
    model = small_cyclegan(optimizer=partial(torch.optim.SGD, lr=1.0), schedule=Constant())
    before = weights(model)
    fit(model, random_batches(1), gradient_clip_val=0.01)
    for players in (("gen_ab", "gen_ba"), ("disc_a", "disc_b")):
        step = [p - before[name] for name, p in weights(model).items() if name.startswith(players)]
        assert torch.cat([s.flatten() for s in step]).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_bf16_mixed_training_keeps_float32_weights() -> None:
    model = small_cyclegan(schedule=Constant())
    before = weights(model)
    trainer = fit(model, random_batches(3), precision="bf16-mixed")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(torch.isfinite(value) for value in trainer.callback_metrics.values())
    assert not any(torch.equal(p, before[name]) for name, p in weights(model).items())
    exact = small_cyclegan(schedule=Constant())
    fit(exact, random_batches(3))
    # Adam moves every weight by about 2e-4 a step, so two runs are at most 12e-4 apart.
    assert 0 < largest_difference(model, exact) < 13e-4


def test_schedule_changes_both_learning_rates_once_per_epoch() -> None:
    model = small_cyclegan(schedule=Linear(total_epochs=4), discriminator_lr=4e-4)
    seen: list[tuple[float, float]] = []

    def record(*_: Any) -> None:
        generators, discriminators = model.trainer.optimizers[0].param_groups
        seen.append((generators["lr"], discriminators["lr"]))

    model.on_train_batch_start = record  # type: ignore[assignment,method-assign]
    fit(model, random_batches(2), max_epochs=4)
    factors = [1, 1, 1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3]  # two constant and two decay epochs of two batches
    assert [lr for lr, _ in seen] == pytest.approx([2e-4 * f for f in factors])
    assert [lr for _, lr in seen] == pytest.approx([4e-4 * f for f in factors])


def test_translate_uses_the_generator_of_its_direction() -> None:
    model = small_cyclegan()
    images = random_batches(1)[0]["A"]
    torch.testing.assert_close(model.translate(images, "A", "B"), model.gen_ab(images))
    torch.testing.assert_close(model.translate(images, "B", "A"), model.gen_ba(images))
    with pytest.raises(UserError, match="no direction A2A; it has A2B, B2A"):
        model.translate(images, "A", "A")


def test_channels_set_the_names_and_channels_of_the_domains() -> None:
    model = small_cyclegan(channels={"day": 3, "night": 1}, loss_weights=LossWeights(identity=0))
    assert model.domains == ("day", "night")
    visuals = model.visuals({"day": torch.zeros(1, 3, 16, 16), "night": torch.zeros(1, 1, 16, 16)})
    assert {name: image.shape[1] for name, image in visuals.items()} == {
        "real_a": 3, "fake_b": 1, "rec_a": 3, "real_b": 1, "fake_a": 3, "rec_b": 1,
    }  # fmt: skip
    with pytest.raises(UserError, match="n_critic is 0; it counts optimiser steps"):
        small_cyclegan(n_critic=0)
    with pytest.raises(UserError, match="identity=0"):
        small_cyclegan(channels={"A": 3, "B": 1})
    for names in (["A"], ["A", "B", "C"], ["photo", "Photo"]):  # the last two would both be val/cycle_photo
        with pytest.raises(UserError, match="CycleGAN needs two domains whose lower-case names differ"):
            small_cyclegan(channels=dict.fromkeys(names, 3))


def test_discriminators_see_fakes_from_the_pool() -> None:
    model = small_cyclegan(pool_size=1)
    first, second = random_batches(2)
    model.discriminator_losses(model.cycle(first["A"], first["B"]))
    shown: list[Tensor] = []
    model.disc_b.register_forward_pre_hook(lambda _, args: shown.append(args[0][-1:].clone()))
    stored = model.cycle(first["A"], first["B"]).fake_b
    for _ in range(20):
        model.discriminator_losses(model.cycle(second["A"], second["B"]))
    assert any(torch.allclose(fake, stored) for fake in shown), "the pool returns the fake of the first batch"


class Negative(nn.Module):
    """An augmentation whose images are recognised."""

    def forward(self, images: Tensor) -> Tensor:
        return -images


def test_discriminators_see_augmented_images_in_all_terms_and_pools_keep_plain_ones() -> None:
    model = small_cyclegan(diff_augment=Negative, penalty=R1(every=1))
    batch = random_batches(1, size=2)[0]
    cycle = model.cycle(batch["A"], batch["B"])
    losses = model.generator_losses(cycle) | model.discriminator_losses(cycle)
    expected = {
        "adv_ab": ((model.disc_b(-cycle.fake_b) - 1) ** 2).mean(),
        "cycle_a": 10 * (cycle.rec_a - batch["A"]).abs().mean(),
        "disc_a": 0.5 * ((model.disc_a(-batch["A"]) - 1) ** 2).mean() + 0.5 * (model.disc_a(-cycle.fake_a) ** 2).mean(),
        "penalty_b": R1()(model.disc_b, -batch["B"], -cycle.fake_b),
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, msg=name)
    torch.testing.assert_close(torch.stack(model.pool_a.state_dict()["images"]), cycle.fake_a.detach())

    losses["adv_ab"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.gen_ab.parameters() if p.ndim == 4)


@pytest.mark.parametrize(("accumulate", "expected"), [(1, [2, 5]), (2, [2, 2])])
def test_a_penalty_is_computed_in_one_of_its_number_of_optimiser_steps(accumulate: int, expected: list[int]) -> None:
    model = small_cyclegan(schedule=Constant())
    steps: list[int] = []

    class Recorded(R1):
        def __call__(self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
            if critic is model.disc_a:
                steps.append(model.global_step)
            return super().__call__(critic, real, fake)

    model.penalty = Recorded(every=3)
    fit(model, random_batches(7), accumulate_grad_batches=accumulate)
    assert steps == expected


class QuarterMeans(nn.Module):
    """A discriminator with a 2 × 2 map of scores: the mean of each quarter plus an offset."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images[:, :1], 2) + self.offset


def test_discriminator_score_is_the_mean_over_the_score_map() -> None:
    model = small_cyclegan()
    model.disc_a, model.disc_b = QuarterMeans(0.0), QuarterMeans(0.5)
    images = torch.zeros(2, 3, 16, 16)
    images[1, :, :8, :8] = 0.8
    # Each score is clamped before the mean: 0.8 + 0.5 counts as 1.
    for domain, expected in (("A", [0, 0.8 / 4]), ("B", [0.5, (3 * 0.5 + 1) / 4])):
        scores = model.discriminator_score(images, domain)
        assert scores is not None
        torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float32))


def test_clipping_sees_unscaled_gradients_of_a_fused_optimizer() -> None:
    """In 16-mixed, a fused Adam divides the gradients by the loss scale in its step, which is after the clipping."""
    model = small_cyclegan()
    optimizer = model.configure_optimizers()["optimizer"]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    model.trainer = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=scaler))  # type: ignore[assignment]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-4) * 1024
    scaler.scale(torch.zeros(()))  # as in the backward pass
    lengths = [sum(p.numel() for p in group["params"]) ** 0.5 * 1e-4 for group in optimizer.param_groups]
    assert min(lengths) < 5e-3 < max(lengths), "one player is clipped, the other is not"
    model.configure_gradient_clipping(optimizer, 5e-3, "norm")
    norms = [torch.nn.utils.get_total_norm([p.grad for p in group["params"]]) for group in optimizer.param_groups]
    assert [float(norm) for norm in norms] == pytest.approx([min(length, 5e-3) for length in lengths], rel=1e-3)
