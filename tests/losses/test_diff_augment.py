"""Differentiable augmentation: ranges, independence of images, gradients, and the adaptation of p."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from cyclegan.errors import UserError
from cyclegan.losses.adversarial import Wasserstein
from cyclegan.losses.diff_augment import TRANSFORMS, AdaptiveAugment, DiffAugment, color, cutout, translation
from tests.small import fit, random_batches, small_cyclegan


def images(count: int, channels: int = 3, height: int = 6, width: int = 6) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.rand(count, channels, height, width, generator=rng, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_color_changes_brightness_saturation_and_contrast_of_each_image_by_its_own_draws(channels: int) -> None:
    before = images(4, channels)
    torch.manual_seed(0)
    after = color(before)
    torch.manual_seed(0)
    for image, changed, draws in zip(before, after, torch.rand(3, 4).T.tolist(), strict=True):
        brightness, saturation, contrast = draws[0] - 0.5, 2 * draws[1], draws[2] + 0.5
        expected = image + brightness
        grey = expected.mean(0)
        expected = grey + saturation * (expected - grey)
        expected = expected.mean() + contrast * (expected - expected.mean())
        torch.testing.assert_close(changed, expected)


def test_translation_moves_each_image_by_up_to_an_eighth_and_fills_with_0() -> None:
    """Of 16 × 24 pixels: up to 2 rows and 3 columns."""
    before = images(1, 2, 16, 24)[0]
    padded = torch.nn.functional.pad(before, (3, 3, 2, 2))
    moves = {(dy, dx): padded[:, dy : dy + 16, dx : dx + 24] for dy in range(5) for dx in range(7)}
    torch.manual_seed(0)
    seen = [
        next(move for move, expected in moves.items() if torch.equal(image, expected))
        for image in translation(before.expand(500, -1, -1, -1))
    ]
    assert set(seen) == set(moves)


def test_cutout_sets_a_rectangle_of_half_the_sides_to_0() -> None:
    """Of 8 × 6 pixels: 4 rows and 3 columns around a centre that lies anywhere in the image, or at its far edge."""
    before = images(1, 2, 8, 6)[0] + 2
    torch.manual_seed(0)
    seen = set()
    for image in cutout(before.expand(1000, -1, -1, -1)):
        kept = image != 0
        assert torch.equal(image[kept], before[kept])
        assert torch.equal(kept[0], kept[1])
        (rows, columns) = (sorted(set(found.tolist())) for found in (~kept[0]).nonzero(as_tuple=True))
        assert int((~kept[0]).sum()) == len(rows) * len(columns), "the pixels form a rectangle"
        seen.add(((rows[0], rows[-1]), (columns[0], columns[-1])))
    stretches = [
        {(max(c - size // 2, 0), min(c - size // 2 + size, side) - 1) for c in centres}
        for side, size, centres in ((8, 4, range(9)), (6, 3, range(6)))
    ]
    assert {rows for rows, _ in seen} == stretches[0]
    assert {columns for _, columns in seen} == stretches[1]
    assert len(seen) == 9 * 6


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_gradients_pass_through_every_transform(transform: Callable[[Tensor], Tensor]) -> None:
    def repeatable(inputs: Tensor) -> Tensor:
        torch.manual_seed(3)
        return transform(inputs)

    inputs = images(2, 2, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(repeatable, inputs)
    (gradient,) = torch.autograd.grad(repeatable(inputs).sum(), inputs)
    assert (gradient != 0).flatten(1).any(1).all()


def test_the_transforms_are_applied_in_their_order() -> None:
    before = images(3)
    torch.manual_seed(5)
    after = DiffAugment(["cutout", "color"])(before)
    torch.manual_seed(5)
    assert torch.equal(after, color(cutout(before)))
    with pytest.raises(UserError, match="transforms names blur; there are color, translation, cutout"):
        DiffAugment(["color", "blur"])


# ---------------------------------------------------------------------------------------------- adaptation


def test_p_moves_by_the_sign_of_real_scores_every_few_batches() -> None:
    """Two batches of five images, of 100 in which p goes from 0 to 1: steps of 0.1."""
    augment = AdaptiveAugment(target=0.6, images=100, every=2)
    real = {1.0: torch.full((5, 1, 2, 2), 0.9), 0.5: torch.tensor([0.9, 0.9, 0.6, 0.3]).expand(5, 4)}
    # Mean signs of the two batches: 1, 1 → above 0.6; 1, 0.5 → above; 0.5, 0.5 → below, ...
    observed = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    seen = []
    for sign in observed:
        augment.adapt(real[sign])
        seen.append(round(augment.p.item(), 6))
    assert seen == [0, 0.1, 0.1, 0.2, 0.2, 0.1, 0.1, 0.2, 0.2]
    for _ in range(20):
        augment.adapt(real[0.5])
    assert augment.p.item() == 0, "p is at least 0"
    for _ in range(40):
        augment.adapt(real[1.0])
    assert augment.p.item() == 1, "p is at most 1"


def test_p_is_the_share_of_images_that_are_transformed() -> None:
    augment = AdaptiveAugment(["cutout"])
    ones = torch.ones(4000, 1, 2, 2)
    assert torch.equal(augment(ones), ones), "p is 0 at first"
    for p in (0.3, 1.0):
        augment.p.fill_(p)
        torch.manual_seed(0)
        changed = (augment(ones) != 1).flatten(1).any(1)
        # Half of the rows and of the columns are covered, or all that lie inside: always one pixel at least.
        assert changed.float().mean().item() == pytest.approx(p, abs=0.03)


def test_neither_augmentation_nor_adaptation_reads_the_device() -> None:
    """Tensors on the device meta have no values: reading one would raise an error."""
    augment = AdaptiveAugment().to("meta")
    augment.adapt(torch.rand(4, 1, 2, 2, device="meta"))
    assert augment(torch.rand(4, 3, 8, 8, device="meta")).shape == (4, 3, 8, 8)


def test_an_adaptive_augmentation_is_part_of_the_state_and_another_is_not() -> None:
    plain = small_cyclegan().state_dict().keys()
    assert small_cyclegan(diff_augment=DiffAugment).state_dict().keys() == plain
    added = small_cyclegan(diff_augment=AdaptiveAugment).state_dict().keys() - plain
    assert added == {f"augment_{domain}.{name}" for domain in "ab" for name in ("p", "signs", "batches")}


def test_each_domain_has_a_p_that_rises_while_its_discriminator_wins() -> None:
    still = partial(torch.optim.SGD, lr=0.0)
    model = small_cyclegan(diff_augment=lambda: AdaptiveAugment(images=100, every=2), optimizer=still)
    for name, parameter in model.disc_a.named_parameters():
        parameter.data.fill_(5 if name == "model.5.bias" else 0)  # all scores are 5; those of disc_b about 0
    trainer = fit(model, random_batches(5, size=2))
    # Two steps of p in four batches of two images.
    assert trainer.callback_metrics["train/ada_p_a"].item() == pytest.approx(2 * 4 / 100)
    assert trainer.callback_metrics["train/ada_p_b"].item() == 0


def test_an_objective_without_absolute_scores_is_refused() -> None:
    with pytest.raises(UserError, match="scores of Wasserstein have no absolute scale: choose diff_augment="):
        small_cyclegan(diff_augment=AdaptiveAugment, adversarial=Wasserstein())
