"""CUT and FastCUT: their steps, compared with the authors' order in plain PyTorch, and their arguments."""

import copy
import random
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import Wasserstein
from cyclegan.losses.penalties import GradientPenalty
from cyclegan.methods.cut import CUT, LossWeights
from cyclegan.networks.antialiased import AntialiasedPatchDiscriminator, AntialiasedResnetGenerator
from cyclegan.networks.init import normal
from cyclegan.networks.resnet import ResnetGenerator
from cyclegan.optim import Constant
from tests.small import fit, random_batches

PIXELS = 16
FASTCUT: dict[str, Any] = {"identity": False, "flip_equivariance": True, "loss_weights": LossWeights(nce=10)}


def small_cut(**arguments: Any) -> CUT:
    """Return a small CUT, with weights large enough for clear gradients."""
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        "generator": partial(AntialiasedResnetGenerator, width=4, blocks=2),
        "discriminator": partial(AntialiasedPatchDiscriminator, width=4, layers=1),
        "init": partial(normal, std=0.1),
        "patches": 20,
    }
    return CUT(**defaults | arguments)


def train_as_the_authors(
    model: CUT, batches: list[dict[str, Tensor]], nce_weight: float, identity: bool, flip: bool
) -> int:
    """Update D, then G and F, with an optimizer each (models/cut_model.py); return the number of mirrored batches."""
    gen, disc, sampler = model.gen, model.disc, model.sampler
    adam = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
    opt_g, opt_d, opt_f = adam(gen.parameters()), adam(disc.parameters()), adam(sampler.parameters())
    layers = (0, 4, 8, 12, 13)
    mirrored_batches = 0

    def encoded(images: Tensor) -> list[Tensor]:
        features = []
        for number, layer in enumerate(gen.model):  # type: ignore[arg-type]
            images = layer(images)
            if number in layers:
                features.append(images)
        return features

    def nce(src: Tensor, tgt: Tensor, mirrored: bool) -> Tensor:
        feat_q, feat_k = encoded(tgt), encoded(src)
        if mirrored:
            feat_q = [torch.flip(each, [3]) for each in feat_q]
        total = torch.zeros((), dtype=torch.float64)
        for mlp, query, key in zip(sampler.children(), feat_q, feat_k, strict=True):
            ids = torch.randperm(key.shape[2] * key.shape[3])[:20]
            sampled = []
            for each in (query, key):
                rows = mlp(each.permute(0, 2, 3, 1).flatten(1, 2)[:, ids].flatten(0, 1))
                sampled.append(rows / (rows.pow(2).sum(1, keepdim=True).pow(0.5) + 1e-7))
            q, k = sampled[0], sampled[1].detach()
            positive = (q * k).sum(1, keepdim=True)
            q, k = (each.view(len(src), -1, each.shape[1]) for each in (q, k))
            negatives = torch.bmm(q, k.transpose(2, 1))
            negatives.masked_fill_(torch.eye(q.shape[1], dtype=torch.bool)[None], -10.0)
            logits = torch.cat((positive, negatives.flatten(0, 1)), dim=1) / 0.07
            total = total + F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long)) * nce_weight
        return total / len(layers)

    def mse(scores: Tensor, label: float) -> Tensor:
        return F.mse_loss(scores, torch.full_like(scores, label))

    for batch in batches:
        real_a, real_b = batch["A"], batch["B"]
        mirrored = flip and random.random() < 0.5
        mirrored_batches += mirrored
        real = torch.cat((real_a, real_b)) if identity else real_a
        fake = gen(torch.flip(real, [3]) if mirrored else real)
        fake_b, idt_b = fake[: len(real_a)], fake[len(real_a) :]

        disc.requires_grad_(True)
        opt_d.zero_grad()
        loss_d = (mse(disc(fake_b.detach()), 0) + mse(disc(real_b), 1)) * 0.5
        loss_d.backward()
        opt_d.step()

        disc.requires_grad_(False)
        opt_g.zero_grad()
        opt_f.zero_grad()
        loss_nce = nce(real_a, fake_b, mirrored)
        if identity:
            loss_nce = (loss_nce + nce(real_b, idt_b, mirrored)) * 0.5
        (mse(disc(fake_b), 1) + loss_nce).backward()
        opt_g.step()
        opt_f.step()
    return mirrored_batches


@pytest.mark.parametrize(
    ("arguments", "recipe"),
    [({}, (1, True, False)), (FASTCUT, (10, False, True)), ({"flip_equivariance": True}, (1, True, True))],
    ids=["cut", "fastcut", "both"],
)
def test_five_steps_equal_those_of_the_authors(arguments: dict[str, Any], recipe: tuple[float, bool, bool]) -> None:
    batches = random_batches(5, size=2, pixels=PIXELS, dtype=torch.float64)
    model = small_cut(schedule=Constant(), **arguments).double()
    before, reference = copy.deepcopy(model.state_dict()), copy.deepcopy(model)

    def seed(*_: Any) -> None:
        torch.manual_seed(1)  # patches
        random.seed(0)  # mirrored batches

    # At this moment, because the loader has drawn a seed before.
    trainer = fit(model, batches, precision="64-true", callbacks=[LambdaCallback(on_train_epoch_start=seed)])
    seed()
    mirrored = train_as_the_authors(reference, batches, *recipe)
    assert 0 < mirrored < 5 or not recipe[2]

    state = model.state_dict()
    assert all((state[name] != before[name]).any() for name, _ in model.named_parameters())
    for name, value in reference.state_dict().items():
        assert (state[name] - value).abs().max() <= 1e-9, name
    assert trainer.global_step == 5, "a batch counts as one step"


def test_the_terms_are_logged_with_their_weights() -> None:
    logged = fit(small_cut(), random_batches(1, pixels=PIXELS)).callback_metrics
    assert set(logged) == {"train/disc", "train/adv", "train/nce", "train/nce_identity"}
    assert set(fit(small_cut(**FASTCUT), random_batches(1, pixels=PIXELS)).callback_metrics) == {
        "train/disc", "train/adv", "train/nce",
    }  # fmt: skip


def test_a_penalty_is_added_to_the_discriminators_loss() -> None:
    model = small_cut(adversarial=Wasserstein(), penalty=GradientPenalty())
    assert "train/penalty" in fit(model, random_batches(1, pixels=PIXELS)).callback_metrics
    assert model.compiled() == [model.gen]
    assert model.discriminator_score(torch.zeros(1, 3, PIXELS, PIXELS), "B") is None


def test_the_weights_start_as_the_authors() -> None:
    """Xavier with gain 0.02, also for the feature network: of the embeddings, 0.02 · √(2 / (256 + 256))."""
    torch.manual_seed(0)
    model = CUT(AntialiasedResnetGenerator, partial(AntialiasedPatchDiscriminator, width=4))
    last = model.sampler.state_dict()["mlp_4.2.weight"]
    assert last.shape == (256, 256)
    assert last.std().item() == pytest.approx(0.02 / 16, rel=0.02)
    block = model.gen.state_dict()["model.12.conv_block.1.weight"]
    assert block.std().item() == pytest.approx(0.02 * (2 / (2 * 256 * 9)) ** 0.5, rel=0.02)
    assert not any(value.any() for name, value in model.named_parameters() if name.endswith("bias"))


def test_the_other_direction_swaps_the_domains() -> None:
    model = small_cut(direction="B2A", channels={"A": 1, "B": 1})
    assert model.directions == (("B", "A"),)
    images = torch.rand(2, 1, PIXELS, PIXELS)
    assert torch.equal(model.translate(images, "B", "A"), model.gen(images))
    with pytest.raises(UserError, match="no direction A2B"):
        model.translate(images, "A", "B")
    assert model.discriminator_score(images, "B") is None
    expected = model.disc(images).clamp(0, 1).mean((1, 2, 3))
    torch.testing.assert_close(model.discriminator_score(images, "A"), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": {"A": 3}}, "CUT needs two domains of the same number of channels"),
        ({"channels": {"A": 3, "B": 1}}, r"model.channels is {'A': 3, 'B': 1}: CUT needs two"),
        ({"direction": "BtoA"}, "model.direction is 'BtoA'; it is A2B or B2A"),
        ({"taps": [0, 40]}, r"taps are \[0, 40\]; they are numbers of layers"),
        ({"generator": ResnetGenerator}, "ResnetGenerator has no features: choose generator=resnet9_antialiased"),
    ],
)
def test_unsuitable_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_cut(**arguments)
