from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.domains import Domain
from cyclegan.data.transforms import resized
from cyclegan.datasets import toy
from cyclegan.errors import DataError
from cyclegan.images import read
from cyclegan.images.tensors import to_tensor
from tests.data.image_folders import data_of, epochs, equal, image_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven images of A, four of B, two of each for testing."""
    return image_folder(tmp_path, trainA=7, trainB=4, testA=2, testB=2)


def test_a_batch_maps_domains_to_images(root: Path) -> None:
    batches = epochs(data_of(root), 1)
    assert len(batches) == 4, "an epoch is as long as the larger domain, in full batches"
    for batch in batches:
        assert list(batch) == ["A", "B"]
        for images in batch.values():
            assert images.shape == (2, 3, 6, 6)
            assert images.dtype == torch.float32
            assert -1 <= images.min() < 0 < images.max() <= 1


def test_counts_and_epoch_length(root: Path) -> None:
    data = data_of(str(root))  # type: ignore[arg-type] # as it comes from YAML
    assert data.counts == {"trainA": 7, "trainB": 4, "testA": 2, "testB": 2}
    assert data.epoch_length == 7


def test_end_epoch_lets_a_resumed_run_begin_a_new_one(root: Path) -> None:
    data = data_of(root)
    assert data.images_seen == 0
    data.end_epoch()  # there is none yet
    iterator = iter(data.train_dataloader())
    next(iterator), next(iterator)
    data.end_epoch()
    state = data.state_dict()
    assert (state["position"], state["epoch_start"]) == (4, 4)
    resumed = data_of(root)
    resumed.load_state_dict(state)
    assert resumed.images_seen == 4
    assert len(list(resumed.train_dataloader())) == 4, "a whole epoch of seven images"
    assert resumed.images_seen == 12


def test_the_state_holds_the_training_files_as_plain_values(root: Path, tmp_path: Path) -> None:
    data = data_of(root)
    assert data.state_dict() == {}
    data.train_dataloader()
    state = data.state_dict()
    torch.save(state, tmp_path / "state")
    assert torch.load(tmp_path / "state", weights_only=True) == state
    assert list(state) == ["position", "epoch_start", "files"]
    assert {domain: found["count"] for domain, found in state["files"].items()} == {"A": 7, "B": 4}
    resumed = data_of(root)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state, "also before a loader is made"


def state_of(root: Path) -> dict[str, object]:
    data = data_of(root)
    data.train_dataloader()
    return data.state_dict()


def test_a_moved_data_folder_can_be_resumed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of(root)
    (root / "moved").mkdir()
    for name in ("trainA", "trainB"):
        (root / name).rename(root / "moved" / name)
    data_of(root / "moved").load_state_dict(state)
    monkeypatch.chdir(root / "moved")
    data_of(Path()).load_state_dict(state)


@pytest.mark.parametrize(
    ("domain", "change", "counts"),
    [
        ("A", lambda folder: (folder / "3.png").unlink(), "there were 7, there are 6"),
        ("B", lambda folder: (folder / "3.png").rename(folder / "4.png"), "there were 4, there are 4"),
    ],
)
def test_resuming_with_other_images_is_refused(
    root: Path, domain: str, change: Callable[[Path], object], counts: str
) -> None:
    state = state_of(root)
    change(root / f"train{domain}")
    with pytest.raises(DataError, match=f"images of domain {domain} are not .*: {counts}"):
        data_of(root).load_state_dict(state)


def test_a_state_without_files_is_accepted(root: Path) -> None:
    """Checkpoints of earlier versions have none."""
    data = data_of(root)
    data.load_state_dict({"position": 4, "epoch_start": 0})
    assert len(list(data.train_dataloader())) == 2


def test_sample_batch_has_the_first_test_images_resized_and_centre_cropped(root: Path) -> None:
    data = data_of(root)
    sample = data.sample_batch(1)
    first = resized(read(root / "testA" / "0.png"), 8, 8)
    assert sample["A"].equal(to_tensor(first)[None, :, 1:7, 1:7])
    assert equal([data.sample_batch(5)], [data.sample_batch(2)]), "all there are, the same every time"


def test_sample_batch_falls_back_on_training_images_and_the_log_shows_it(root: Path) -> None:
    (root / "testB").rename(root / "unused")
    data = data_of(root)
    sample = data.sample_batch(3)
    assert (len(sample["A"]), len(sample["B"])) == (2, 3)
    assert data.describe()[-1] == "samples   show trainB, in place of test images"
    assert data.counts == {"trainA": 7, "trainB": 4, "testA": 2}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"crop_size": 0}, "crop_size is 0; it must be at least 1 pixel"),
        ({"batch_size": 0}, r"data\.batch_size is 0; it must be at least 1"),
        ({"reducing_gap": 0.5}, r"data\.reducing_gap is 0\.5; it must be at least 1"),
        ({"crop_epochs": -1}, r"data\.crop_epochs is -1; it must be at least 0"),
        ({"crop_epochs": 2, "crop_size": None}, r"data\.crop_size is null: set data\.crop_epochs=null"),
        ({"on_error": "ignore"}, r"data\.on_error is 'ignore'; available: raise, skip"),
        ({"pairing": "names"}, r"data\.pairing is 'names'; available: auto, by_name, none"),
        ({"draw": "paired"}, r"data\.draw is 'paired'; available: independent, aligned"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        ImageDataModule(**arguments)


def test_the_log_shows_the_type_that_is_read_not_that_of_translations(root: Path) -> None:
    data = data_of(root, domains={"A": Domain(dtype="uint16"), "B": Domain()})
    assert data.describe()[1:3] == [
        "domain A  3 channels of RGB ×7; uint8 0 to 255 become -1 to 1",
        "domain B  3 channels of RGB ×4; uint8 0 to 255 become -1 to 1",
    ]
    assert data.pixel_formats["A"].dtype == "uint16"


def test_the_source_fills_the_root_before_training(tmp_path: Path) -> None:
    draw = partial(toy.draw, train=2, test=1, size=8)
    data = data_of(tmp_path / "toy", source=draw)
    assert data.counts == {"trainA": 2, "trainB": 2, "testA": 1, "testB": 1}


def test_a_single_domain_of_any_name(root: Path) -> None:
    Path(root / "trainA").rename(root / "trainsummer")
    data = data_of(root, domains={"summer": Domain()})
    assert list(next(iter(data.train_dataloader()))) == ["summer"]


def test_after_the_crop_epochs_images_are_resized_to_the_crop_size(root: Path) -> None:
    """An epoch is seven samples, so that the fifteenth is the first of the third epoch, whatever batches it has."""
    data, cropped, small = data_of(root, crop_epochs=2), data_of(root), data_of(root, load_size=6)
    for position in range(20):
        images, as_before = data._samples[position].images, cropped._samples[position].images
        assert all(images[domain].equal(as_before[domain]) for domain in "AB") == (position < 14)
        if position >= 14:
            for domain, file in data._samples[position].files.items():
                plain = torch.from_numpy(resized(read(file), 6, 6)).permute(2, 0, 1)
                assert images[domain].equal(plain) or images[domain].equal(plain.flip(-1))
                assert images[domain].equal(small._samples[position].images[domain]), "the same order and flip"
    assert data_of(root, crop_epochs=0)._samples[0].images["A"].equal(small._samples[0].images["A"])


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("changes", [{"num_workers": 1}, {"cache": "disk"}])
def test_workers_cache_and_resume_change_nothing_after_the_crop_epochs(root: Path, changes: dict[str, Any]) -> None:
    whole = epochs(data_of(root, crop_epochs=1), 3)
    first = data_of(root, crop_epochs=1, **changes)
    loader = first.train_dataloader()
    begun = [first.on_after_batch_transfer(batch, 0) for batch in [*loader, *islice(loader, 1)]]
    second = data_of(root, crop_epochs=1, **changes)
    second.load_state_dict(first.state_dict())
    assert equal(begun + epochs(second, 2), whole)
    assert second.sample_batch(1)["A"].equal(data_of(root).sample_batch(1)["A"]), "held-out images do not change"
