import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclegan.errors import WeightsError
from cyclegan.metrics.pretrained import Pretrained

STATE = {"weight": torch.arange(6.0)}


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


INTACT = saved(STATE)
NAME = f"small-net-{hashlib.sha256(INTACT).hexdigest()[:8]}.pth"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(tmp_path: Path) -> Path:
    (tmp_path / "server").mkdir()
    return tmp_path / "server"


@pytest.fixture
def file(server: Path) -> Pretrained:
    return Pretrained("a small network", (server / NAME).as_uri(), "--weights PATH", "do without")


def test_given_file_is_read_without_a_download(file: Pretrained, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(INTACT)
    torch.testing.assert_close(file.read(str(path)), STATE)


def test_download_is_logged_and_cached(
    file: Pretrained, hub: Path, server: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (server / NAME).write_bytes(INTACT)
    with caplog.at_level(logging.INFO):
        torch.testing.assert_close(file.read(), STATE)
    assert [path.name for path in hub.iterdir()] == [NAME]
    assert caplog.messages == [f"weights   downloading a small network ({NAME})"]
    (server / NAME).unlink()
    torch.testing.assert_close(file.read(), STATE)


@pytest.mark.parametrize(("content", "text"), [(None, "No such file"), (INTACT[:-10], "invalid hash value")])
def test_failed_download_error_names_a_remedy(
    file: Pretrained, hub: Path, server: Path, content: bytes | None, text: str
) -> None:
    if content is not None:
        (server / NAME).write_bytes(content)
    with pytest.raises(WeightsError, match=text) as caught:
        file.read()
    message = str(caught.value)
    assert f"the weights of a small network are not at {hub / NAME}" in message
    assert f"Download {NAME} where there is a network and put it at {hub / NAME}" in message
    assert "name it by --weights PATH; do without." in message
    assert list(hub.iterdir()) == []


def test_missing_given_file_is_not_downloaded(file: Pretrained, server: Path, tmp_path: Path) -> None:
    (server / NAME).write_bytes(INTACT)
    with pytest.raises(WeightsError, match=f"no weights of a small network at {tmp_path}/none.pth. Download small"):
        file.read(tmp_path / "none.pth")


class Intruder:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_pickled_code_is_not_executed(file: Pretrained, tmp_path: Path) -> None:
    path, trace = tmp_path / "unsafe.pth", tmp_path / "executed"
    torch.save({"weight": Intruder(trace)}, path)
    with pytest.raises(WeightsError, match=r"unsafe.pth is damaged or no file of weights. Download"):
        file.read(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # shows that the code works
    assert trace.exists()


JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb0043")
NESTED = saved({"state_dict": STATE})


@pytest.mark.parametrize("content", [b"", b"no weights", INTACT[:-100], JPEG, saved([1, 2]), NESTED])
def test_file_without_weights_is_refused_without_unsafe_advice(
    file: Pretrained, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged.pth is damaged or no file of weights") as caught:
        file.read(path)
    assert "weights_only" not in str(caught.value)
