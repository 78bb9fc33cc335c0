from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from cyclegan.data.datamodule import ImageDataModule
from cyclegan.data.domains import Domain
from cyclegan.data.draw import Order
from cyclegan.data.transforms import resized
from cyclegan.datasets import toy
from cyclegan.errors import DataError
from cyclegan.images import ImageError, read
from cyclegan.images.tensors import to_tensor
from tests.data.image_folders import data_of, equal, image_folder

fork_warning = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven images of A, four of B, two of each for testing."""
    return image_folder(tmp_path, trainA=7, trainB=4, testA=2, testB=2)


def test_a_batch_maps_domains_to_images(root: Path) -> None:
    batches = list(data_of(root).train_dataloader())
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


def test_domains_are_chosen_independently(root: Path) -> None:
    """Over 28 positions each image of A and B appears equally often, and never in fixed pairs."""
    data = ImageDataModule(root, 10, 10, flip=False, num_workers=0)
    data.setup()
    names = {
        to_tensor(resized(read(path), 10, 10)).numpy().tobytes(): f"{path.parent.name}/{path.stem}"
        for path in root.glob("train*/*.png")
    }
    loader = data.train_dataloader()
    pairs = [
        (names[batch["A"][0].numpy().tobytes()], names[batch["B"][0].numpy().tobytes()])
        for _ in range(4)
        for batch in loader
    ]
    assert sorted(a for a, _ in pairs) == sorted([f"trainA/{i}" for i in range(7)] * 4)
    assert sorted(b for _, b in pairs) == sorted([f"trainB/{i}" for i in range(4)] * 7)
    assert len(set(pairs)) > 14


def test_batch_size_does_not_change_an_image_and_seed_does(root: Path) -> None:
    def first_six(batch_size: int, seed: int = 0) -> torch.Tensor:
        loader = data_of(root, batch_size=batch_size, seed=seed).train_dataloader()
        return torch.cat([batch["A"] for batch in loader])[:6]

    assert first_six(1).equal(first_six(3))
    assert not first_six(1).equal(first_six(1, seed=1))


def test_images_seen_counts_each_domain(root: Path) -> None:
    data = data_of(root)
    assert data.images_seen == 0
    iterator = iter(data.train_dataloader())
    next(iterator), next(iterator)
    assert data.images_seen == 4


@fork_warning
@pytest.mark.parametrize(("rank", "world_size", "num_workers"), [(0, 1, 1), (1, 2, 0)])
def test_names_the_files_of_the_last_batch(root: Path, rank: int, world_size: int, num_workers: int) -> None:
    data = data_of(root, num_workers=num_workers, seed=3)
    assert data.last_batch_files() == {"A": [], "B": []}
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)  # type: ignore[assignment]
    orders = {domain: Order(3, domain, data._splits["train"][domain].images) for domain in "AB"}
    iterator = iter(data.train_dataloader())
    for first in (2 * rank, 2 * world_size + 2 * rank):  # of two images a device
        next(iterator)
        assert data.last_batch_files() == {
            domain: [str(root / f"train{domain}" / f"{orders[domain][t]}.png") for t in (first, first + 1)]
            for domain in "AB"
        }


def test_end_epoch_lets_a_resumed_run_begin_a_new_one(root: Path) -> None:
    data = data_of(root)
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


def test_a_moved_data_folder_is_the_same_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of(root)
    (root / "moved").mkdir()
    for name in ("trainA", "trainB"):
        (root / name).rename(root / "moved" / name)
    data_of(root / "moved").load_state_dict(state)
    monkeypatch.chdir(root / "moved")
    data_of(Path()).load_state_dict(state)


@pytest.mark.parametrize("setup_first", [True, False])
@pytest.mark.parametrize(
    ("domain", "change", "counts"),
    [
        ("A", lambda folder: (folder / "3.png").unlink(), "there were 7, there are 6"),
        ("B", lambda folder: Image.new("RGB", (10, 9)).save(folder / "new.png"), "there were 4, there are 5"),
        ("B", lambda folder: (folder / "3.png").rename(folder / "4.png"), "there were 4, there are 4"),
    ],
)
def test_resuming_with_other_images_is_refused(
    root: Path, domain: str, change: Callable[[Path], object], counts: str, setup_first: bool
) -> None:
    state = state_of(root)
    change(root / f"train{domain}")
    data = ImageDataModule(root, 8, 6)
    steps: list[Callable[[], object]] = [data.setup, lambda: data.load_state_dict(state)]
    first, second = steps if setup_first else steps[::-1]
    first()
    with pytest.raises(DataError, match=f"images of domain {domain} are not .*: {counts}"):
        second()


def test_a_state_without_files_is_accepted(root: Path) -> None:
    """Of an earlier version's checkpoint."""
    data = data_of(root)
    data.load_state_dict({"position": 4, "epoch_start": 0})
    assert len(list(data.train_dataloader())) == 2


def test_sample_batch_shows_the_middle_of_the_first_test_images_resized_as_in_training(root: Path) -> None:
    data = data_of(root)
    sample = data.sample_batch(1)
    first = resized(read(root / "testA" / "0.png"), 8, 8)
    assert sample["A"].equal(to_tensor(first)[None, :, 1:7, 1:7])
    assert equal([data.sample_batch(5)], [data.sample_batch(2)]), "all there are, the same every time"


def test_sample_batch_falls_back_on_training_images_and_logs_it_once(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (root / "testB").iterdir():
        path.unlink()
    (root / "testB").rmdir()
    data = data_of(root)
    sample = data.sample_batch(3)
    assert len(sample["A"]) == 2
    assert len(sample["B"]) == 3
    data.sample_batch(3)
    told = [record.message for record in caplog.records]
    assert told == ["samples   there are no test images of B: images of trainB are shown"]
    assert data.counts == {"trainA": 7, "trainB": 4, "testA": 2}


def test_names_the_image_that_is_too_small(root: Path) -> None:
    words = r"train[AB]/\d\.png: the image is 9×10, too small for a crop of 10×10"
    with pytest.raises(DataError, match=words):
        ImageDataModule(root, load_size=None, crop_size=10, num_workers=0).setup()
    data = ImageDataModule(root, load_size=None, crop_size=10, num_workers=0, header_checks=0)
    data.setup()
    with pytest.raises(ImageError, match=words):
        next(iter(data.train_dataloader()))


def test_refuses_bad_folders_and_sizes_before_training(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*trainC"):
        ImageDataModule(root, domains={"A": Domain(), "C": Domain()}).setup("fit")
    with pytest.raises(DataError, match=r"crop_size 64 does not fit into load_size 32"):
        ImageDataModule(root, load_size=32, crop_size=64).setup("fit")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"crop_size": 0}, "crop_size is 0; it must be at least 1 pixel"),
        ({"load_size": 0}, "load_size is 0; it must be at least 1"),
        ({"size_multiple": 0}, "size_multiple is 0"),
        ({"header_checks": -1}, r"data\.header_checks is -1; it must be at least 0"),
        ({"reducing_gap": 0.5}, r"data\.reducing_gap is 0\.5; it must be at least 1"),
        ({"batch_size": 0}, r"data\.batch_size is 0; it must be at least 1"),
        ({"num_workers": -1}, r"data\.num_workers is -1; it must be at least 0"),
        ({"max_pixels": 0}, r"data\.max_pixels is 0; it must be at least 1"),
        ({"max_images": 0}, "data.max_images is 0; it must be at least 1"),
    ],
)
def test_numbers_out_of_range_are_refused(root: Path, arguments: dict[str, float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        ImageDataModule(root, **arguments).setup()  # type: ignore[arg-type]


def test_the_log_shows_the_values_that_are_read_not_those_that_are_written(root: Path) -> None:
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


def test_takes_any_number_of_domains(root: Path) -> None:
    Path(root / "trainA").rename(root / "trainsummer")
    data = data_of(root, domains={"summer": Domain()})
    assert list(next(iter(data.train_dataloader()))) == ["summer"]
