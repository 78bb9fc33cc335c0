"""CycleGAN's step against the authors' order written out, and what configuration can ask of it."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import Wasserstein
from cyclegan.losses.penalties import GradientPenalty
from cyclegan.methods.cyclegan import CycleGAN, LossWeights
from cyclegan.methods.translator import Batch, Translator
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


class AuthorsPool:
    """A pool that is still filling returns what it is given; the test stays below 50 images."""

    def query(self, images: Tensor) -> Tensor:
        return images.detach()


def train_in_the_authors_order(nets: dict[str, nn.Module], batches: list[dict[str, Tensor]]) -> None:
    """CycleGAN's `optimize_parameters` in plain PyTorch: generators first, then discriminators, an optimiser each."""
    gen_ab, gen_ba, disc_a, disc_b = (nets[name] for name in NETWORKS)
    adam = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
    opt_g = adam([*gen_ab.parameters(), *gen_ba.parameters()])
    opt_d = adam([*disc_a.parameters(), *disc_b.parameters()])
    pool_a, pool_b = AuthorsPool(), AuthorsPool()

    def mse_to(scores: Tensor, label: float) -> Tensor:
        return ((scores - label) ** 2).mean()

    for batch in batches:
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
        loss_g.backward()
        opt_g.step()

        for parameter in [*disc_a.parameters(), *disc_b.parameters()]:
            parameter.requires_grad_(True)
        opt_d.zero_grad()
        for disc, real, fake in ((disc_a, real_a, pool_a.query(fake_a)), (disc_b, real_b, pool_b.query(fake_b))):
            (0.5 * (mse_to(disc(real), 1) + mse_to(disc(fake), 0))).backward()
        opt_d.step()


def test_equals_the_authors_order_with_two_optimisers_in_float64() -> None:
    batches = random_batches(7, dtype=torch.float64)
    model = small_cyclegan(schedule=Constant()).double()
    reference = copy.deepcopy(model)
    before = weights(model)

    fit(model, batches, precision="64-true")
    train_in_the_authors_order({name: getattr(reference, name) for name in NETWORKS}, batches)

    moved = max(float((p - before[name]).abs().max()) for name, p in weights(model).items())
    assert moved > 1e-3, "seven Adam steps of 2e-4 move the weights far more than the tolerance"
    assert largest_difference(model, reference) < 1e-9


def test_every_parameter_moves() -> None:
    model = small_cyclegan(schedule=Constant())
    before = weights(model)
    fit(model, random_batches(2))
    still = [name for name, p in weights(model).items() if torch.equal(p, before[name])]
    assert still == []


def test_global_step_counts_batches() -> None:
    assert fit(small_cyclegan(), random_batches(5)).global_step == 5


def test_losses_are_the_recipes_weighted_terms() -> None:
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


def test_generators_terms_leave_the_discriminators_without_gradient_and_the_other_way_round() -> None:
    model = small_cyclegan()
    batch = random_batches(1)[0]
    cycle = model.cycle(batch["A"], batch["B"])
    torch.stack(list(model.generator_losses(cycle).values())).sum().backward(retain_graph=True)
    assert all(p.grad is None for d in (model.disc_a, model.disc_b) for p in d.parameters())
    model.zero_grad()
    torch.stack(list(model.discriminator_losses(cycle).values())).sum().backward()
    assert all(p.grad is None for g in (model.gen_ab, model.gen_ba) for p in g.parameters())


def test_weight_zero_takes_a_term_out_of_the_sum() -> None:
    model = small_cyclegan(loss_weights=LossWeights(adversarial=0.0, cycle_a=10.0, cycle_b=0.0, identity=0.0))
    batch = random_batches(1)[0]
    cycle = model.cycle(batch["A"], batch["B"])
    assert cycle.idt_a is None
    losses = model.generator_losses(cycle)
    assert "identity_a" not in losses
    assert losses["adv_ab"] == losses["adv_ba"] == losses["cycle_b"] == 0
    assert losses["cycle_a"] > 0


def test_images_of_one_network_go_through_as_one_batch_only_where_nothing_mixes_them() -> None:
    first, second = torch.rand(2, 3, 16, 16), torch.rand(1, 3, 16, 16)
    calls: list[int] = []
    for network, expected in ((generator(), [3]), (EncoderDecoder(widths=(4, 8), norm="batch"), [2, 1])):
        calls.clear()
        hook = network.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
        one, two = together(network, first, second)
        hook.remove()
        assert calls == expected
        assert (len(one), len(two)) == (2, 1)
    alone = generator()
    for result, inputs in zip(together(alone, first, second), (first, second), strict=True):
        torch.testing.assert_close(result, alone(inputs))


class MinibatchStd(nn.Module):
    """Scores images by how much those of their batch differ (Karras et al. 2018, arXiv:1710.10196, section 3)."""

    def forward(self, images: Tensor) -> Tensor:
        return images.std(0, correction=0).mean().expand(len(images))


def test_a_network_that_does_not_say_whether_it_mixes_samples_sees_real_and_fake_images_apart() -> None:
    network = MinibatchStd()
    ones = torch.ones(1, 3, 4, 4)
    assert [scores.tolist() for scores in together(network, ones, -ones)] == [[0.0], [0.0]]  # 1 and 1 as one batch
    network.mixes_samples = False  # type: ignore[assignment]
    assert [scores.tolist() for scores in together(network, ones, -ones)] == [[1.0], [1.0]], "taken at its word"


@pytest.mark.parametrize(
    "network",
    [ResnetGenerator, UnetGenerator, EncoderDecoder, PatchDiscriminator, PixelDiscriminator, StridedDiscriminator],
)
def test_every_network_here_says_whether_it_mixes_samples(network: Any) -> None:
    for norm, mixes in (("instance", False), ("batch", True), ("none", False)):
        built = network(norm=norm)
        assert built.mixes_samples == mixes
        assert any(isinstance(part, nn.BatchNorm2d) for part in built.modules()) == mixes


def test_wasserstein_applies_its_penalty() -> None:
    model = small_cyclegan(adversarial=Wasserstein(), penalty=GradientPenalty(weight=10.0), schedule=Constant())
    trainer = fit(model, random_batches(2))
    assert {"train/penalty_a", "train/penalty_b"} <= trainer.callback_metrics.keys()
    assert trainer.callback_metrics["train/penalty_a"] > 0
    batch = random_batches(1)[0]
    cycle = model.cycle(batch["A"], batch["B"])
    model.zero_grad()
    model.discriminator_losses(cycle)["penalty_b"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.disc_b.parameters())


def test_accumulation_of_two_equals_a_batch_of_two() -> None:
    pairs = random_batches(4, size=2, dtype=torch.float64)
    singles = [{d: images[i : i + 1] for d, images in pair.items()} for pair in pairs for i in range(2)]
    one, two = small_cyclegan(schedule=Constant()).double(), small_cyclegan(schedule=Constant()).double()
    assert fit(one, pairs, precision="64-true").global_step == 4
    assert fit(two, singles, precision="64-true", accumulate_grad_batches=2).global_step == 4
    assert largest_difference(one, two) < 1e-9


def test_clips_each_player_by_itself() -> None:
    # Plain SGD with rate 1: the step of each player is its clipped gradient, so each has the norm asked for.
    model = small_cyclegan(optimizer=partial(torch.optim.SGD, lr=1.0), schedule=Constant())
    before = weights(model)
    fit(model, random_batches(1), gradient_clip_val=0.01)
    for players in (("gen_ab", "gen_ba"), ("disc_a", "disc_b")):
        step = [p - before[name] for name, p in weights(model).items() if name.startswith(players)]
        assert torch.cat([s.flatten() for s in step]).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_bf16_mixed_trains_and_keeps_float32_weights() -> None:
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


def test_schedule_moves_both_rates_once_an_epoch() -> None:
    model = small_cyclegan(schedule=Linear(total_epochs=4), discriminator_lr=4e-4)
    seen: list[tuple[float, float]] = []

    def record(*_: Any) -> None:
        generators, discriminators = trainer_groups(model)
        seen.append((generators["lr"], discriminators["lr"]))

    def trainer_groups(module: CycleGAN) -> list[dict[str, Any]]:
        return list(module.trainer.optimizers[0].param_groups)

    model.on_train_batch_start = record  # type: ignore[assignment,method-assign]
    fit(model, random_batches(2), max_epochs=4)
    factors = [1, 1, 1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3]  # two constant and two decay epochs of two batches
    assert [rate for rate, _ in seen] == pytest.approx([2e-4 * f for f in factors])
    assert [rate for _, rate in seen] == pytest.approx([4e-4 * f for f in factors])


def test_translates_in_the_direction_asked_for() -> None:
    model = small_cyclegan()
    images = random_batches(1)[0]["A"]
    torch.testing.assert_close(model.translate(images, "A", "B"), model.gen_ab(images))
    torch.testing.assert_close(model.translate(images, "B", "A"), model.gen_ba(images))
    with pytest.raises(ValueError, match="does not turn A into A; it learns A2B, B2A"):
        model.translate(images, "A", "A")


def test_domains_take_their_names_and_channels_from_the_configuration() -> None:
    model = small_cyclegan(channels={"day": 3, "night": 1}, loss_weights=LossWeights(identity=0))
    assert model.domains == ("day", "night")
    visuals = model.visuals({"day": torch.zeros(1, 3, 16, 16), "night": torch.zeros(1, 1, 16, 16)})
    assert {name: image.shape[1] for name, image in visuals.items()} == {
        "real_a": 3, "fake_b": 1, "rec_a": 3, "real_b": 1, "fake_a": 3, "rec_b": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match="identity=0"):
        small_cyclegan(channels={"A": 3, "B": 1})
    with pytest.raises(ValueError, match="two domains"):
        small_cyclegan(channels={"A": 3})
    with pytest.raises(UserError, match="domains photo and Photo differ only in case"):
        small_cyclegan(channels={"photo": 3, "Photo": 3})  # both would be val/cycle_photo


def test_discriminators_see_fakes_from_the_pool() -> None:
    model = small_cyclegan(pool_size=1)
    first, second = random_batches(2)
    model.discriminator_losses(model.cycle(first["A"], first["B"]))
    shown: list[Tensor] = []
    model.disc_b.register_forward_pre_hook(lambda _, args: shown.append(args[0][-1:].clone()))
    stored = model.cycle(first["A"], first["B"]).fake_b
    for _ in range(20):
        model.discriminator_losses(model.cycle(second["A"], second["B"]))
    assert any(torch.allclose(fake, stored) for fake in shown), "the fake of the first batch comes back"


class ByPosition(nn.Module):
    """A discriminator whose scores follow from the pixels: a map of 2 × 2, one score a quarter."""

    minimum_size = 1

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images[:, :1], 2) + self.offset


def test_discriminator_score_is_the_mean_score_of_the_domains_own_discriminator() -> None:
    model = small_cyclegan()
    model.disc_a, model.disc_b = ByPosition(0.0), ByPosition(0.5)
    images = torch.zeros(2, 3, 16, 16)
    images[1, :, :8, :8] = 0.8
    # Each place is clamped before the mean: 0.8 + 0.5 counts as 1.
    for domain, expected in (("A", [0, 0.8 / 4]), ("B", [0.5, (3 * 0.5 + 1) / 4])):
        verdicts = model.discriminator_score(images, domain)
        assert verdicts is not None
        torch.testing.assert_close(verdicts, torch.tensor(expected, dtype=torch.float32))
    with pytest.raises(ValueError, match="no domain C; it has A, B"):
        model.discriminator_score(images, "C")


class OfAUser:
    """An objective from elsewhere, which has all that training needs."""

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return fake_scores.mean() - real_scores.mean()

    def generator(self, fake_scores: Tensor) -> Tensor:
        return -fake_scores.mean()


@pytest.mark.parametrize("objective", [OfAUser(), Wasserstein()], ids=["of a user", "Wasserstein"])
def test_without_a_scale_there_is_no_verdict_and_training_goes_on(objective: Any) -> None:
    model = small_cyclegan(adversarial=objective, schedule=Constant())
    assert model.discriminator_score(random_batches(1)[0]["A"], "A") is None
    assert fit(model, random_batches(2)).global_step == 2


class Untaught(Translator):
    """A method without discriminators."""

    domains = ("A", "B")

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return images

    def visuals(self, batch: Batch) -> dict[str, Tensor]:
        return batch

    def generators(self) -> dict[str, nn.Module]:
        return {}


def test_a_method_has_no_judge_unless_it_says_so() -> None:
    assert Untaught().discriminator_score(torch.zeros(1, 3, 16, 16), "A") is None
    with pytest.raises(ValueError, match="no domain C; it has A, B"):
        Untaught().discriminator_score(torch.zeros(1, 3, 16, 16), "C")
