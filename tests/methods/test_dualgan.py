"""DualGAN: its steps, compared with the authors' code in plain PyTorch, and its arguments."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.losses.penalties import GradientPenalty
from cyclegan.methods.dualgan import DualGAN, LossWeights
from cyclegan.networks.dualgan import DualDiscriminator, DualGenerator
from tests.small import fit, random_batches


def small_dualgan(**arguments: Any) -> DualGAN:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        "generator": partial(DualGenerator, width=4, downs=3),
        "discriminator": partial(DualDiscriminator, width=4, layers=3, image_size=16),
    }
    return DualGAN(**defaults | arguments)


class PlainRMSprop:
    """tf.train.RMSPropOptimizer(5e-5, decay=0.9)."""

    def __init__(self, *networks: nn.Module) -> None:
        self.weights = [parameter for network in networks for parameter in network.parameters()]
        self.averages = [torch.ones_like(weight) for weight in self.weights]

    def minimize(self, loss: Tensor) -> None:
        for weight, average, gradient in zip(
            self.weights, self.averages, torch.autograd.grad(loss, self.weights), strict=True
        ):
            average.data = 0.9 * average + 0.1 * gradient**2
            weight.data -= 5e-5 * gradient / torch.sqrt(average + 1e-10)


def train_as_the_authors(model: DualGAN, batches: list[dict[str, Tensor]], gan_type: str, n_critic: int) -> None:
    """One run of the discriminators' operation, then in each `n_critic`-th one of the generators' (model.py)."""
    gen_ab, gen_ba, disc_a, disc_b = model.gen_ab, model.gen_ba, model.disc_a, model.disc_b
    d_optim, g_optim = PlainRMSprop(disc_a, disc_b), PlainRMSprop(gen_ab, gen_ba)

    def d_loss(disc: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        loss = disc(fake).mean() - disc(real).mean()
        if gan_type == "wgan-gp":
            epsilon = 1 - torch.rand(len(real), 1, 1, 1, dtype=torch.float64)  # as `GradientPenalty` draws it
            x_hat = (real + epsilon * (fake - real)).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(disc(x_hat).sum(), x_hat, create_graph=True)
            slopes = torch.sqrt(1e-8 + gradient.square().sum((1, 2, 3)))
            loss = loss + 10 * (slopes - 1).square().mean()
        return loss  # type: ignore[no-any-return]

    for number, batch in enumerate(batches, 1):
        real_a, real_b = batch["A"], batch["B"]
        d_optim.minimize(d_loss(disc_a, real_a, gen_ba(real_b)) + d_loss(disc_b, real_b, gen_ab(real_a)))
        if gan_type == "wgan":
            for weight in d_optim.weights:
                weight.data = torch.clip(weight, -0.01, 0.01)
        if number % n_critic:
            continue
        fake_b, fake_a = gen_ab(real_a), gen_ba(real_b)
        a_loss, b_loss = F.l1_loss(gen_ba(fake_b), real_a), F.l1_loss(gen_ab(fake_a), real_b)
        g_optim.minimize(-disc_b(fake_b).mean() - disc_a(fake_a).mean() + 500 * a_loss + 500 * b_loss)


@pytest.mark.parametrize(("gan_type", "n_critic"), [("wgan-gp", 1), ("wgan", 1), ("wgan", 3)])
def test_six_steps_equal_those_of_the_authors(gan_type: str, n_critic: int) -> None:
    """The authors generate again for the generators' step, and add 1e-8 in the penalty's root, which is 2e-11 here."""
    options: dict[str, Any] = {"penalty": GradientPenalty()} if gan_type == "wgan-gp" else {"weight_clip": 0.01}
    batches = random_batches(6, size=2, pixels=16, dtype=torch.float64)
    model = small_dualgan(n_critic=n_critic, **options).double()
    before, reference = copy.deepcopy(model.state_dict()), copy.deepcopy(model)
    seed = LambdaCallback(on_train_epoch_start=lambda *_: torch.manual_seed(1))  # the loader has drawn a seed before
    trainer = fit(model, batches, precision="64-true", callbacks=[seed])
    torch.manual_seed(1)
    train_as_the_authors(reference, batches, gan_type, n_critic)

    state = model.state_dict()
    unmoved = {name for name, value in before.items() if (state[name] == value).all()}
    assert unmoved == {"disc_a.model.9.bias", "disc_b.model.9.bias"}, "which shift all scores alike"
    for name, value in reference.state_dict().items():
        assert (state[name] - value).abs().max() <= 1e-9, name
    assert trainer.global_step == 6


def test_weights_of_the_terms() -> None:
    (batch,) = random_batches(1, pixels=16)
    small, default = small_dualgan(loss_weights=LossWeights(0.5, 7, 11)), small_dualgan()
    one, other = (model.generator_losses(model.fakes(batch)) for model in (small, default))
    ratios = {name: (one[name] / other[name]).item() for name in one}
    assert ratios == pytest.approx({"adv_ab": 0.5, "adv_ba": 0.5, "cycle_a": 7 / 500, "cycle_b": 11 / 500})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": {"A": 3}}, "DualGAN needs two domains"),
        ({"n_critic": 0}, r"model\.n_critic is 0; .* 1 or more"),
        ({"weight_clip": 0.0}, r"model\.weight_clip is 0\.0; .* more than 0"),
    ],
)
def test_unsuitable_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_dualgan(**arguments)
