"""Metrics against their formulas over single images, the feature cache, and metrics that cannot be measured."""

import threading
from contextlib import nullcontext
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.domains import Domain
from cyclegan.data.held_out import HeldOut
from cyclegan.errors import DataError
from cyclegan.images import ImageError, decode
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.metrics.fid import frechet_distance
from cyclegan.metrics.perceptual import Lpips
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.validation.evaluate import evaluate
from cyclegan.validation.feature_cache import References
from cyclegan.validation.one_pass import batches, vectors
from cyclegan.validation.per_image import PerImage
from cyclegan.validation.summary import distances, overall
from tests.small import small_cyclegan
from tests.toy_runs import toy_data
from tests.validation.networks import Projection

COUNT = 7  # neither two processes nor batches of 4 divide it


def held_out_of(root: Path, count: int = COUNT, at_most: int | None = None) -> HeldOut:
    """Draw toy images and return the test images."""
    data = toy_data(root, test=count)
    data.prepare_data()
    return held_out_images(data, at_most)


def held_out_images(data: ImageDataModule, at_most: int | None = None) -> HeldOut:
    data.setup()
    found = data.held_out(at_most)
    assert found is not None
    return found


@pytest.fixture
def translator() -> CycleGAN:
    return small_cyclegan().eval()


@pytest.fixture
def held_out(tmp_path: Path) -> HeldOut:
    return held_out_of(tmp_path / "toy")


def bytes_of(image: torch.Tensor) -> np.ndarray:
    """Round an image to 8 bits: (H, W, C) in 0..255."""
    rounded: np.ndarray = np.clip(np.rint((image.double().numpy() + 1) * 127.5), 0, 255).transpose(1, 2, 0)
    return rounded


@torch.no_grad()
def test_paired_metrics_cycle_and_identity_follow_their_formulas(translator: CycleGAN, held_out: HeldOut) -> None:
    found = evaluate(translator, held_out, batch_size=3).metrics
    expected: dict[str, list[float]] = {}
    for source, target, gen, back in (("A", "B", translator.gen_ab, translator.gen_ba),
                                      ("B", "A", translator.gen_ba, translator.gen_ab)):  # fmt: skip
        of, here = f"{source}{target}".lower(), source.lower()
        for index in range(COUNT):
            image, truth = held_out.image(source, index), held_out.image(target, index)
            assert image is not None
            assert truth is not None
            fake = gen(image[None])
            squared = ((bytes_of(fake[0]) - bytes_of(truth)) ** 2).mean()
            values = {
                f"psnr_{of}": 10 * np.log10(255**2 / squared),
                f"l1_{of}": np.abs(bytes_of(fake[0]) - bytes_of(truth)).mean() / 127.5,
                f"psnr_copied_{of}": 10 * np.log10(255**2 / ((bytes_of(image) - bytes_of(truth)) ** 2).mean()),
                f"cycle_{here}": float((back(fake)[0] - image).abs().mean()),
                f"identity_{here}": float((back(image[None])[0] - image).abs().mean()),
                f"change_{of}": float((fake[0] - image).abs().mean()),
            }
            for name, value in values.items():
                expected.setdefault(name, []).append(float(value))
    for name, each in expected.items():
        assert found[name] == pytest.approx(np.mean(each), rel=1e-5), name
    for name in ("psnr", "l1"):
        assert found[name] == pytest.approx((found[f"{name}_ab"] + found[f"{name}_ba"]) / 2)
    assert found["cycle"] == pytest.approx((found["cycle_a"] + found["cycle_b"]) / 2)
    assert "psnr_copied" not in found


@torch.no_grad()
def test_fid_compares_rounded_translations_with_real_images_of_the_target(
    translator: CycleGAN, held_out: HeldOut
) -> None:
    network = Projection()
    found = evaluate(translator, held_out, References(network, None)).metrics

    def features(images: list[torch.Tensor]) -> torch.Tensor:
        rounded = torch.from_numpy(np.stack([bytes_of(image) for image in images])).permute(0, 3, 1, 2)
        return network.features(rounded.to(torch.uint8))

    real = {d: [image for i in range(COUNT) if (image := held_out.image(d, i)) is not None] for d in "AB"}
    fake_b = [translator.gen_ab(image[None])[0] for image in real["A"]]
    for name, images in (("fid_ab", fake_b), ("fid_copied_ab", real["A"])):
        expected = frechet_distance(features(images), features(real["B"]))
        assert found[name] == pytest.approx(expected, rel=1e-6), name


def test_each_image_has_its_row(translator: CycleGAN, held_out: HeldOut) -> None:
    found = evaluate(translator, held_out)
    assert len(found.images) == 2 * COUNT
    for row in found.images:
        source, target = row["direction"].split("2")
        assert row["image"].endswith(Path(row["ground_truth"]).name)
        assert f"test{source}" in row["image"]
        assert f"test{target}" in row["ground_truth"]
    for direction in ("A2B", "B2A"):
        mean = np.mean([row["psnr"] for row in found.images if row["direction"] == direction])
        assert found.metrics[f"psnr_{direction.replace('2', '').lower()}"] == pytest.approx(mean)


def test_an_exact_translation_does_not_make_the_mean_infinite(translator: CycleGAN, held_out: HeldOut) -> None:
    """The PSNR of an exact translation is infinite; the mean is over the others."""
    truth = held_out.image("B", 0)
    assert truth is not None
    translator.gen_ab.forward = lambda images: truth.expand_as(images)
    found = evaluate(translator, held_out)
    values = [row["psnr"] for row in found.images if row["direction"] == "A2B"]
    assert values[0] == float("inf")
    assert found.metrics["psnr_ab"] == pytest.approx(np.mean(values[1:]))


def test_evaluate_draws_no_random_numbers_and_changes_nothing(translator: CycleGAN, held_out: HeldOut) -> None:
    before = {name: value.clone() for name, value in translator.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    evaluate(translator, held_out, References(Projection(), None))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in translator.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in translator.parameters())


def test_metrics_do_not_depend_on_the_batch_size(translator: CycleGAN, tmp_path: Path) -> None:
    """Images of several sizes, which cannot share a batch."""
    toy_data(tmp_path, test=COUNT).prepare_data()
    for file in [*tmp_path.glob("testA/*[25].png"), *tmp_path.glob("testB/*[25].png")]:
        Image.open(file).resize((20, 24)).save(file)
    data = ImageDataModule(tmp_path, load_size=None, crop_size=None, pairing="by_name")
    held_out = held_out_images(data)
    one, four = (evaluate(translator, held_out, References(Projection(), None), batch_size=n).metrics for n in (1, 4))
    assert one == pytest.approx(four, rel=1e-5, abs=1e-7)


class TestFeatureCache:
    def test_features_of_real_images_are_computed_once(
        self, translator: CycleGAN, held_out: HeldOut, tmp_path: Path
    ) -> None:
        first = Projection()
        metrics = evaluate(translator, held_out, References(first, tmp_path / "kept")).metrics
        assert first.shown == 4 * COUNT
        again = Projection()
        references = References(again, tmp_path / "kept")
        assert evaluate(translator, held_out, references).metrics == metrics
        assert again.shown == 2 * COUNT
        evaluate(translator, held_out, references)
        assert again.shown == 4 * COUNT

    def test_other_files_sizes_and_networks_have_other_features(self, translator: CycleGAN, tmp_path: Path) -> None:
        kept, root = tmp_path / "kept", tmp_path / "toy"

        def computed(held_out: HeldOut, network: Projection) -> int:
            """Return how many real images went through the network."""
            evaluate(translator, held_out, References(network, kept))
            return network.shown - sum(len(indices) for indices in held_out.indices.values())

        assert computed(held_out_of(root), Projection()) == 2 * COUNT
        assert computed(held_out_of(root), Projection()) == 0
        assert computed(held_out_of(root), Projection(seed=1)) == 2 * COUNT
        assert computed(held_out_of(root, at_most=5), Projection()) == 2 * 5
        larger = ImageDataModule(root, load_size=20, crop_size=20)
        assert computed(held_out_images(larger), Projection()) == 2 * COUNT
        a_file = next((root / "testA").iterdir())
        a_file.write_bytes(next((root / "testB").glob(a_file.name)).read_bytes())
        assert computed(held_out_of(root), Projection()) == COUNT  # B has not changed

    @pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00garbage"])
    def test_a_damaged_file_is_replaced(
        self, translator: CycleGAN, held_out: HeldOut, tmp_path: Path, damage: bytes
    ) -> None:
        metrics = evaluate(translator, held_out, References(Projection(), tmp_path)).metrics
        files = list(tmp_path.glob("*.npy"))
        assert len(files) == 2
        for file in files:
            file.write_bytes(damage)
        network = Projection()
        assert evaluate(translator, held_out, References(network, tmp_path)).metrics == metrics
        assert network.shown == 4 * COUNT

    def test_an_unwritable_folder_is_no_error(self, translator: CycleGAN, held_out: HeldOut, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        found = evaluate(translator, held_out, References(Projection(), tmp_path / "file" / "below"))
        assert "fid_ab" in found.metrics


def test_an_unreadable_image_is_an_error_or_skipped(translator: CycleGAN, tmp_path: Path) -> None:
    held_out = held_out_of(tmp_path / "toy")
    broken = Path(held_out.path("A", 2))
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(ImageError, match=broken.name):
        evaluate(translator, held_out)
    held_out.on_error = "skip"
    found = evaluate(translator, held_out)
    rows = [Path(row["image"]).name for row in found.images if row["direction"] == "A2B"]
    assert len(rows) == COUNT - 1
    assert broken.name not in rows
    assert found.protocol["images"]["unreadable"] == {"A": 1, "B": 0}
    # All of B are translated, but one of them now lacks its ground truth.
    assert sum("psnr" in row for row in found.images) == 2 * (COUNT - 1)


@pytest.mark.parametrize("kept", [2 * COUNT, 3, 0])
def test_images_that_fit_are_decoded_once_for_all_passes_and_in_other_threads(
    translator: CycleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    decoded: list[str] = []

    def counted(data: bytes, name: str, *more: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        decoded.append(name)
        return decode(data, name, *more)

    def decodings() -> int:
        decoded.clear()
        assert evaluate(translator, held_out).metrics == expected
        return len(decoded)

    expected = evaluate(translator, held_out_of(tmp_path / "toy")).metrics
    monkeypatch.setattr("cyclegan.data.held_out.KEPT_BYTES", kept * 16 * 16 * 3)
    held_out = held_out_of(tmp_path / "toy")
    monkeypatch.setattr("cyclegan.data.reader.decode", counted)
    others = 2 * COUNT - kept  # a pass needs each image twice, as input and as ground truth
    assert decodings() == kept + 2 * others
    assert decodings() == 2 * others
    held_out.forget()
    assert decodings() == kept + 2 * others


@pytest.mark.parametrize("batch_size", [4, 12])
def test_the_next_batch_is_read_while_one_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    held_out = held_out_of(tmp_path / "toy", count=30)
    read: list[int] = []

    def image(domain: str, index: int) -> torch.Tensor:
        read.append(index)
        return torch.zeros(3, 4, 4)

    monkeypatch.setattr(held_out, "image", image)
    monkeypatch.setattr(held_out, "ground_truth", {})
    next(batches(held_out, "A", batch_size))
    assert len(read) == 2 * batch_size


def test_the_protocol_states_images_features_and_versions(translator: CycleGAN, held_out: HeldOut) -> None:
    record = evaluate(translator, held_out, References(Projection(), None)).protocol
    assert record["images"]["split"] == "test"
    assert record["images"]["A"] == f"{COUNT} of testA"
    assert record["images"]["size"] == "16×16, the middle of images stretched to 16"
    sizing = {"load_size": 16, "resize": "stretch", "crop_size": 16}
    assert sizing.items() <= record["images"].items()
    assert record["pairing"] == "by name"
    assert record["paired ground truth"] == {"A2B": f"{COUNT} images", "B2A": f"{COUNT} images"}
    features = record["distances"]["features"]
    assert {"network": "projection", "seed": 0}.items() <= features.items()
    assert features["digest"] == Projection().digest()[:16]
    assert record["distances"]["A2B"] == f"{COUNT} translations of testA against {COUNT} real images of testB"
    assert torch.__version__.startswith(record["versions"]["torch"])


def test_the_perceptual_network_follows_the_translator(translator: CycleGAN) -> None:
    network = Lpips()
    PerImage(translator.to("meta"), translator.directions, network, nullcontext)
    assert network._device.type == "meta"


def test_too_few_readable_images_have_no_distance(translator: CycleGAN, tmp_path: Path) -> None:
    held_out = held_out_of(tmp_path / "toy", count=3)
    held_out.on_error = "skip"
    for index in (0, 2):
        broken = Path(held_out.path("B", index))
        broken.write_bytes(broken.read_bytes()[:60])
    metrics = evaluate(translator, held_out, References(Projection(), None)).metrics
    assert not any(name.startswith(("fid", "kid")) for name in metrics)
    assert "cycle" in metrics


def test_images_too_small_for_the_discriminator_have_no_score(tmp_path: Path) -> None:
    """The generators take 8 pixels, a discriminator of three layers 24."""
    small = partial(PatchDiscriminator, width=4, layers=3)
    translator = small_cyclegan(discriminator=small).eval()
    assert translator.minimum_size <= 16 < translator.minimum_crop
    metrics = evaluate(translator, held_out_of(tmp_path / "toy")).metrics
    assert "psnr_ab" in metrics
    assert not any(name.startswith("d_") for name in metrics)


def test_a_mean_needs_all_directions() -> None:
    both = {"psnr_ab": 20.0, "psnr_ba": 24.0, "cycle_a": 0.1, "cycle_b": 0.3}
    both |= {"kid_spread_ab": 9.0, "psnr_copied_ab": 1.0}
    assert overall(both, directions=2) == {"psnr": 22.0, "cycle": 0.2}
    del both["psnr_ba"]  # all translations were exact
    assert overall(both, directions=2) == {"cycle": 0.2}
    assert overall(both, directions=1)["psnr"] == 20.0


@pytest.mark.parametrize(("fakes", "reals", "measured"), [(50, 50, True), (49, 50, False), (50, 49, False)])
def test_precision_and_recall_need_50_images(fakes: int, reals: int, measured: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    fake, real = (torch.randn(count, 4, generator=rng) for count in (fakes, reals))
    found = distances(fake, fake, real, "ab")
    assert isfinite(found["kid_ab"])
    assert [isfinite(found[name]) for name in ("precision_ab", "recall_ab")] == [measured] * 2


def test_domains_may_be_called_real_and_synthetic(tmp_path: Path) -> None:
    """Columns of real images have that word in their names too."""
    plain = evaluate(small_cyclegan().eval(), held_out_of(tmp_path / "toy")).metrics
    data = toy_data(tmp_path / "toy")
    data.domains = {"real": Domain(test="testA", train="trainA"), "synthetic": Domain(test="testB", train="trainB")}
    translator = small_cyclegan(channels={"real": 3, "synthetic": 3}).eval()
    metrics = evaluate(translator, held_out_images(data)).metrics
    for name in ("checkerboard", "psnr", "variety"):
        assert metrics[f"{name}_real_synthetic"] == pytest.approx(plain[f"{name}_ab"])
        assert metrics[f"{name}_synthetic_real"] == pytest.approx(plain[f"{name}_ba"])


def test_stored_vectors_do_not_keep_their_batch() -> None:
    """Each is pickled for the other processes."""
    row = vectors(("A",), [3, 5], torch.arange(8.0).view(2, 4))[("A",), 5]
    assert row.tolist() == [4, 5, 6, 7]
    assert row.untyped_storage().nbytes() == 4 * 4


def test_domains_that_differ_in_case_only_are_refused(translator: CycleGAN, held_out: HeldOut) -> None:
    held_out.domains = {"A": held_out.domains["A"], "a": held_out.domains["B"]}
    with pytest.raises(DataError, match="differ in more than case: A, a"):
        evaluate(translator, held_out)
