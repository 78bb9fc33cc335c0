"""pix2pix: its steps, compared with the authors' order in plain PyTorch, and its arguments."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from PIL import Image
from pytorch_lightning.callbacks import LambdaCallback
from skimage.color import rgb2lab
from torch import Tensor, nn

from cyclegan import translate
from cyclegan.errors import UserError
from cyclegan.evaluate import command as evaluate
from cyclegan.images import read
from cyclegan.images.lab import rgb_to_lab
from cyclegan.methods.pix2pix import LossWeights, Pix2Pix
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.networks.unet import UnetGenerator
from cyclegan.optim import Constant
from cyclegan.train.command import train
from cyclegan.train.configuration import conf_dir
from tests.small import fit, random_batches
from tests.tiny_run import composed

PIXELS = 16


def small_pix2pix(downs: int = 3, **arguments: Any) -> Pix2Pix:
    """Return a small Pix2Pix; with 6 downs, the generator has a dropout layer."""
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        "generator": partial(UnetGenerator, width=4, downs=downs, norm="batch"),
        "discriminator": partial(PatchDiscriminator, width=4, layers=1, norm="batch"),
    }
    return Pix2Pix(**defaults | arguments)


def train_as_the_authors(
    model: Pix2Pix, batches: list[dict[str, Tensor]], clip: float | None = None, conditional: bool = True
) -> None:
    """Update the discriminator, then the generator, with an optimizer each (models/pix2pix_model.py)."""
    gen, disc = model.gen, model.disc
    adam = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
    opt_g, opt_d = adam(gen.parameters()), adam(disc.parameters())

    def bce(scores: Tensor, label: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))

    def seen(a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a, b], 1) if conditional else b

    for batch in batches:
        real_a, real_b = batch["A"], batch["B"]
        fake_b = gen(real_a)

        opt_d.zero_grad()
        fake_scores = disc(seen(real_a, fake_b.detach()))
        loss_d = 0.5 * (bce(fake_scores, 0) + bce(disc(seen(real_a, real_b)), 1))
        loss_d.backward()
        if clip:
            nn.utils.clip_grad_norm_(disc.parameters(), clip)
        opt_d.step()

        for parameter in disc.parameters():
            parameter.requires_grad_(False)
        opt_g.zero_grad()
        loss_g = bce(disc(seen(real_a, fake_b)), 1) + 100 * F.l1_loss(fake_b, real_b)
        loss_g.backward()
        if clip:
            nn.utils.clip_grad_norm_(gen.parameters(), clip)
        opt_g.step()
        for parameter in disc.parameters():
            parameter.requires_grad_(True)


def lab_by_hand(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return L / 50 - 1 and (a, b) / 110 of RGB (N, 3, H, W) in [-1, 1], as the authors' dataset does with skimage."""
    lab = torch.from_numpy(rgb2lab(((images + 1) / 2).permute(0, 2, 3, 1).numpy())).permute(0, 3, 1, 2)
    return lab[:, :1] / 50 - 1, lab[:, 1:] / 110


def small_colorizer(**arguments: Any) -> Pix2Pix:
    return small_pix2pix(channels={"A": 1, "B": 3}, output="ab", **arguments)


def test_steps_of_colorization_equal_those_of_the_authors() -> None:
    """Theirs is pix2pix from lightness to ab: L1 of ab, and a discriminator of (L, ab)."""
    rgb = [batch["B"] for batch in random_batches(5, size=2, pixels=PIXELS, dtype=torch.float64)]
    by_hand = [dict(zip("AB", lab_by_hand(images), strict=True)) for images in rgb]
    model = small_colorizer(schedule=Constant()).double()
    reference = copy.deepcopy(model)

    fit(model, [{"A": lab["A"], "B": images} for lab, images in zip(by_hand, rgb, strict=True)], precision="64-true")
    train_as_the_authors(reference, by_hand)

    for name, value in reference.state_dict().items():
        assert (model.state_dict()[name] - value).abs().max() <= 1e-9, name


def test_a_colorizer_translates_to_rgb_with_the_lightness_of_its_input() -> None:
    model = small_colorizer().eval()
    inputs = torch.rand(2, 1, PIXELS, PIXELS) * 1.6 - 0.8
    ab = model.gen(inputs)
    assert ab.shape == (2, 2, PIXELS, PIXELS)
    translated = model.translate(inputs, "A", "B")
    back = rgb_to_lab(translated)
    assert (back - torch.cat([inputs, ab], 1)).abs().max() < 1e-4
    assert model.visuals({"A": inputs, "B": translated})["fake"].equal(translated)


def test_the_networks_of_the_colorization_experiment_have_the_authors_sizes() -> None:
    with initialize_config_dir(conf_dir(), version_base="1.3"), torch.device("meta"):
        model = hydra.utils.instantiate(compose("train", ["experiment=colorization", "data.root=photos"]).model)
    assert sum(parameter.numel() for parameter in model.gen.parameters()) == 54_409_858
    assert sum(parameter.numel() for parameter in model.disc.parameters()) == 2_765_633


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("conditional", [True, False])
def test_five_steps_equal_those_of_the_authors(clip: float | None, conditional: bool) -> None:
    """Also the running statistics of batch norm, for which the discriminator sees three batches in a step."""
    batches = random_batches(5, size=2, pixels=PIXELS, dtype=torch.float64)
    model = small_pix2pix(schedule=Constant(), conditional=conditional).double()
    model.gradient_clipping = (clip, "norm")
    before, reference = copy.deepcopy(model.state_dict()), copy.deepcopy(model)

    trainer = fit(model, batches, precision="64-true")
    train_as_the_authors(reference, batches, clip, conditional)

    state = model.state_dict()
    assert all((state[name] != value).any() for name, value in before.items() if value.is_floating_point())
    for name, value in reference.state_dict().items():
        assert (state[name] - value).abs().max() <= 1e-9, name
    assert trainer.global_step == 5, "a batch counts as one step"


def test_dropout_has_one_mask_for_both_players() -> None:
    batches = random_batches(2, size=2, pixels=64, dtype=torch.float64)
    model = small_pix2pix(downs=6, schedule=Constant()).double()
    reference = copy.deepcopy(model).train()
    seed = LambdaCallback(on_train_epoch_start=lambda *_: torch.manual_seed(1))  # the loader has drawn a seed before
    fit(model, batches, precision="64-true", callbacks=[seed])
    torch.manual_seed(1)
    train_as_the_authors(reference, batches)
    for name, value in reference.state_dict().items():
        assert (model.state_dict()[name] - value).abs().max() <= 1e-9, name


def test_the_learning_rate_falls_after_each_epoch() -> None:
    model = small_pix2pix(schedule=lambda epoch: 0.5**epoch)
    trainer = fit(model, random_batches(2, pixels=PIXELS), max_epochs=3)
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == pytest.approx([2e-4 / 8] * 2)


def test_without_an_adversarial_term_only_the_generator_is_trained() -> None:
    model = small_pix2pix(loss_weights=LossWeights(adversarial=0))
    before = copy.deepcopy(model.state_dict())
    fit(model, random_batches(2, pixels=PIXELS))
    moved = {name.split(".")[0] for name, value in model.state_dict().items() if (value != before[name]).any()}
    assert moved == {"gen"}


def test_the_other_direction_has_the_channels_of_its_ends() -> None:
    model = small_pix2pix(channels={"A": 3, "B": 1}, direction="B2A")
    assert model.directions == (("B", "A"),)
    images = torch.rand(2, 1, PIXELS, PIXELS)
    assert model.translate(images, "B", "A").shape == (2, 3, PIXELS, PIXELS)
    assert model.scores(images, torch.rand(2, 3, PIXELS, PIXELS)).shape[:2] == (2, 1)


def test_translating_as_the_authors_uses_dropout_and_the_images_own_statistics() -> None:
    model = small_pix2pix(downs=6, translate_in="train").eval()
    before = copy.deepcopy(model.state_dict())
    (batch,) = random_batches(1, size=4, pixels=64)
    torch.manual_seed(2)
    translated = model.translate(batch["A"], "A", "B")
    torch.manual_seed(2)
    theirs = copy.deepcopy(model.gen).train()
    assert torch.equal(translated, torch.cat([theirs(image) for image in batch["A"].split(1)]))
    assert not torch.equal(translated, model.translate(batch["A"], "A", "B")), "another mask"
    assert not model.gen.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_commands_colorize_one_folder_of_images(tmp_path: Path, quiet: None) -> None:
    """The written image has the lightness of the input, be it grey or coloured, up to rounding to 8 bits."""
    run, toy, inputs = tmp_path / "run", tmp_path / "toy", tmp_path / "inputs"
    one_folder = (
        *("experiment=toy_colorization", "data.source.size=24", "data.domains.A.folder=null", "data.val_share=0.4"),
        *(f"data.domains.{domain}.train=trainB" for domain in "AB"),
        *(f"data.domains.{domain}.test=trainB" for domain in "AB"),
    )
    train(composed(run, toy, *one_folder))
    inputs.mkdir()
    with Image.open(next((toy / "trainB").iterdir())) as image:
        image.save(inputs / "rgb.png")
        image.convert("L").save(inputs / "grey.png")
    words = ("--checkpoint", run, "--input", inputs, "--output", tmp_path / "out", "--resize", "none")
    translate.main([str(word) for word in words])
    for name in ("rgb.png", "grey.png"):
        given, written = read(inputs / name), read(tmp_path / "out" / name)
        assert written.shape == (24, 24, 3)
        assert np.ptp(written.astype(int), axis=2).max() > 0, "it has colours"
        lightness = [rgb2lab(pixels)[..., 0] for pixels in (given, written)]
        assert np.abs(lightness[0] - lightness[1]).max() < 0.5, "of 100"
    options = evaluate.build_parser().parse_args(["--checkpoint", str(run), "--output", str(tmp_path / "evaluation")])
    (result,) = evaluate.run(options)
    assert {"psnr_ab", "kid_ab"} <= result.evaluation.metrics.keys()
    assert list((tmp_path / "evaluation").rglob("worst_A2B.jpg"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": {"A": 3}}, "pix2pix needs two domains"),
        ({"direction": "BtoA"}, "model.direction is 'BtoA'; it is A2B or B2A"),
        ({"output": "lab"}, "model.output is 'lab'; it is image or ab"),
        ({"output": "ab"}, "the domains have 3 and 3 channels: set data.domains.A.lightness=true"),
        ({"translate_in": "test"}, "model.translate_in is 'test'; it is eval or train"),
    ],
)
def test_unsuitable_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_pix2pix(**arguments)
