import hashlib
import http.client
import io
import logging
import pickle
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclegan.metrics.feature_network import WeightsError
from cyclegan.metrics.pretrained import Pretrained

STATE = {"weight": torch.arange(6.0)}


def saved() -> bytes:
    file = io.BytesIO()
    torch.save(STATE, file)
    return file.getvalue()


WHOLE = saved()
NAME = f"small-net-{hashlib.sha256(WHOLE).hexdigest()[:8]}.pth"
FILE = Pretrained("a small network", f"published/{NAME}", "--weights PATH", "do without")


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch hub, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    answer(monkeypatch, AssertionError("the network was asked"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def answer(monkeypatch: pytest.MonkeyPatch, what: bytes | Exception) -> None:
    def urlopen(address: str, timeout: float) -> io.BytesIO:
        assert address == FILE.address
        assert 0 < timeout <= 60
        if isinstance(what, Exception):
            raise what
        return io.BytesIO(what)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def test_a_named_file_is_read_and_nothing_fetched(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(WHOLE)
    torch.testing.assert_close(FILE.read(path), STATE)
    torch.testing.assert_close(FILE.read(str(path)), STATE)


def test_what_the_cache_holds_is_read_and_nothing_fetched(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / FILE.name).write_bytes(WHOLE)
    torch.testing.assert_close(FILE.read(), STATE)


def test_what_is_fetched_is_kept(
    hub: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, WHOLE)
    with caplog.at_level(logging.INFO):
        torch.testing.assert_close(FILE.read(), STATE)
    assert [path.name for path in hub.iterdir()] == [FILE.name]
    assert caplog.messages == [f"weights   fetching a small network ({FILE.name})"]
    assert capfd.readouterr() == ("", "")
    answer(monkeypatch, AssertionError("asked again"))
    torch.testing.assert_close(FILE.read(), STATE)


@pytest.mark.parametrize(
    ("happening", "text"),
    [
        (urllib.error.URLError("no route to host"), "no route to host"),
        (TimeoutError("timed out"), "timed out"),
        (http.client.IncompleteRead(b"", 9), "IncompleteRead"),
        (WHOLE[:-10], "another checksum than its name says"),
        (b"<html>please log in</html>", "another checksum than its name says"),
    ],
)
def test_a_failed_fetch_says_where_the_file_belongs_and_leaves_nothing(
    hub: Path, monkeypatch: pytest.MonkeyPatch, happening: bytes | Exception, text: str
) -> None:
    answer(monkeypatch, happening)
    with pytest.raises(WeightsError, match=text) as caught:
        FILE.read()
    message = str(caught.value)
    assert f"the weights of a small network are not at {hub / FILE.name}" in message
    assert f"Get the file {FILE.name} where there is a network and put it at {hub / FILE.name}" in message
    assert "name it by --weights PATH; do without." in message
    assert list(hub.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_failed_fetch(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.parent.mkdir(parents=True)
    hub.write_text("no folder")
    answer(monkeypatch, WHOLE)
    with pytest.raises(WeightsError, match="fetching them failed"):
        FILE.read()


def test_a_named_file_that_is_missing_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"no weights of a small network at {tmp_path}/none.pth. Get the file small"):
        FILE.read(tmp_path / "none.pth")


class Intruder:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "unsafe.pth", tmp_path / "it was run"
    torch.save({"weight": Intruder(trace)}, path)
    with pytest.raises(WeightsError, match=r"unsafe.pth is no file of weights .*Get the file"):
        FILE.read(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # shows that the trap was set
    assert trace.exists()


PHOTOGRAPH = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb0043")
PICKLE = pickle.dumps([1, 2], protocol=4)  # of which torch warns


@pytest.mark.parametrize("content", [b"", b"no weights", WHOLE[:-100], PHOTOGRAPH, PICKLE])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged.pth is no file of weights as torch writes them") as caught:
        FILE.read(path)
    assert "weights_only" not in str(caught.value)  # torch's advice is to run what is in the file


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"weight": torch.zeros(1)}}])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="something else than a dictionary of tensors"):
        FILE.read(path)
