"""Exports on the Hugging Face Hub, for which a server in this process stands in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import cyclegan
from cyclegan.errors import CheckpointError
from cyclegan.export import main
from cyclegan.train.command import train
from tests.export.hub_server import TOKEN, Hub, serving
from tests.tiny_run import SMALL_NETWORKS, composed

pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    train(composed(folder / "run", folder / "toy", *SMALL_NETWORKS, "features=random", "trainer.max_epochs=1"))
    return folder / "run"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving() as server:
        addresses = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)  # both are what HF_ENDPOINT sets
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", addresses)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_a_run_is_pushed_and_loaded(run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(run), "--push", "me/zebras", "--license", "mit"])
    screen = capsys.readouterr()
    assert f"{hub.url}/me/zebras\nuse it: cyclegan.load('hf://me/zebras')" in screen.out
    assert TOKEN not in screen.out + screen.err
    files = hub.models["me/zebras"]
    assert files.keys() == {"A2B.safetensors", "A2B.json", "B2A.safetensors", "B2A.json", "samples.jpg", "README.md"}

    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: cyclegan\n")
    for part in (
        "license: mit", "of A into B and of B into A", "ResnetGenerator(width=4", "![Samples](samples.jpg)",
        "| data | toy |", "| images seen of each domain | 6 |", "| PSNR, dB |", "random convolutions",
    ):  # fmt: skip
        assert part in card, part

    images = torch.rand(2, 3, 16, 16) * 2 - 1
    trained = cyclegan.load(run)
    for direction in ("A2B", "B2A"):
        source, target = direction.split("2")
        loaded = cyclegan.load("hf://me/zebras", direction=direction)
        assert loaded.directions == ((source, target),)
        with torch.no_grad():
            difference = loaded.translate(images, source, target) - trained.translate(images, source, target)
        assert difference.abs().max() < 1e-5, "channels_last sums in another order"


def test_images_beside_a_file_that_belongs_to_no_run_are_not_uploaded(run: Path, hub: Hub, tmp_path: Path) -> None:
    for folder in ("checkpoints", "samples"):
        (tmp_path / folder).mkdir()
    shutil.copy(run / "checkpoints" / "last.ckpt", tmp_path / "checkpoints" / "mine.ckpt")
    shutil.copy(next((run / "samples").glob("*.jpg")), tmp_path / "samples" / "holiday.jpg")
    main([str(tmp_path / "checkpoints" / "mine.ckpt"), "--push", "me/mine", "--direction", "A2B"])
    assert hub.models["me/mine"].keys() == {"A2B.safetensors", "A2B.json", "README.md"}
    assert "![Samples]" not in hub.models["me/mine"]["README.md"].decode()
    with pytest.raises(SystemExit, match="--push uploads safetensors: leave --format and --output out"):
        main([str(run), "--push", "me/mine", "--format", "onnx"])


def test_a_refusal_names_the_reason_and_no_token(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(SystemExit, match=r"--push me/zebras: the Hub refuses it, .*hf auth login") as refused:
        main([str(run), "--push", "me/zebras"])
    assert "hf_wrong" not in str(refused.value)
    with pytest.raises(SystemExit, match=r"--push me/you/zebras is no name of a model; give USER/MODEL"):
        main([str(run), "--push", "me/you/zebras"])
    with pytest.raises(CheckpointError, match=r"hf://me/none cannot be downloaded"):
        cyclegan.load("hf://me/none")
    hub.models["me/empty"] = {}
    with pytest.raises(CheckpointError, match="hf://me/empty has no safetensors files"):
        cyclegan.load("hf://me/empty")


def test_without_a_network_the_error_says_so(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match="hf://me/zebras is not in the cache, and the Hub cannot be reached"):
        cyclegan.load("hf://me/zebras")
    with pytest.raises(SystemExit, match="--push me/zebras: the Hub cannot be reached"):
        main([str(run), "--push", "me/zebras"])
