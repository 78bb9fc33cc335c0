"""cyclegan-weights: downloads of published generators from a local server."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import cyclegan
from cyclegan.datasets.weights import WEIGHTS
from cyclegan.errors import CheckpointError
from cyclegan.weights_tool import main
from tests.checkpoint.published_layouts import cut, resnet
from tests.datasets.archive_server import ArchiveServer, serving


def saved(network: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("CYCLEGAN_CACHE", str(tmp_path))
    monkeypatch.setattr("cyclegan.datasets.download.time.sleep", lambda _: None)
    with serving(saved(resnet())) as running:
        yield running


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "weights").iterdir())


def refusal(*words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["download", *words])
    return str(ended.value.code)


def test_an_interrupted_download_is_resumed_checked_and_found_by_its_name(
    server: ArchiveServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        CheckpointError, match="no checkpoint at horse2zebra; after cyclegan-weights download horse2zebra, "
    ):
        cyclegan.load("horse2zebra")
    server.faults = ["truncate"]
    main(["download", "horse2zebra", "--base-url", f"{server.url}/models/"])
    half = len(server.content) // 2
    assert server.ranges_asked == [None, f"bytes={half}-"]
    assert cached(tmp_path) == ["horse2zebra.pth"]
    out = capsys.readouterr().out
    assert f"{server.url}/models/horse2zebra.pth" in out
    assert "without a licence of their own" in out
    assert hashlib.sha256(server.content).hexdigest() in out
    assert cyclegan.load("horse2zebra").directions == (("A", "B"),)

    main(["download", "horse2zebra", "--base-url", server.url])
    assert "is already there" in capsys.readouterr().out
    assert len(server.ranges_asked) == 2


def test_one_archive_holds_the_generators_of_cut(server: ArchiveServer, tmp_path: Path) -> None:
    names = ("horse2zebra_cut_pretrained", "cat2dog_fastcut_pretrained")
    members = {f"checkpoints/{name}/latest_net_G.pth": saved(cut()) for name in names}
    members |= {"checkpoints/evil/latest_net_G.pth": b"", "../latest_net_G.pth": b"", "checkpoints/README": b""}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    server.content = buffer.getvalue()
    main(["download", "horse2zebra_cut_pretrained", "--base-url", server.url])
    assert cached(tmp_path) == sorted(f"{name}.pth" for name in names)
    assert cyclegan.load("cat2dog_fastcut_pretrained").size_multiple == 4
    assert "holds horse2zebra_cut_pretrained, cat2dog_fastcut_pretrained, and not cityscapes_cut_pretrained" in refusal(
        "cityscapes_cut_pretrained", "--base-url", server.url
    )


def test_a_file_that_holds_no_generator_is_not_kept(server: ArchiveServer, tmp_path: Path) -> None:
    server.content = b"<html>moved</html>"
    for name in ("horse2zebra", "horse2zebra_cut_pretrained"):
        assert "was deleted again, because it holds no generator" in refusal(name, "--base-url", server.url)
    assert cached(tmp_path) == []
    server.content = saved(resnet())
    found = hashlib.sha256(server.content).hexdigest()
    assert f"--sha256 {found}" in refusal("horse2zebra", "--base-url", server.url, "--sha256", "00")
    main(["download", "horse2zebra", "--base-url", server.url, "--sha256", found])
    assert cached(tmp_path) == ["horse2zebra.pth"]


def test_a_name_that_nothing_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no published generator is called zebra2hors; did you mean zebra2horse?" in refusal("zebra2hors")


def test_the_catalogue(server: ArchiveServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """18 of CycleGAN, 5 of pix2pix and 6 of CUT."""
    main(["download", "style_monet", "--base-url", server.url])
    capsys.readouterr()
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:-1]}
    assert rows["zebra2horse"] == ["cyclegan", "horse2zebra", "B2A"]
    assert rows["style_monet"] == ["cyclegan", "monet2photo", "B2A", str(tmp_path / "weights" / "style_monet.pth")]
    methods = [row[0] for row in rows.values()]
    assert {method: methods.count(method) for method in methods} == {"cyclegan": 18, "pix2pix": 5, "cut": 6}
    addresses = {name: f"{weights.folder}/{weights.file}" for name, weights in WEIGHTS.items()}
    host = "http://efrosgans.eecs.berkeley.edu"
    assert addresses["sat2map"] == f"{host}/cyclegan/pretrained_models/sat2map.pth"
    assert addresses["pix2pix_sat2map"] == f"{host}/pix2pix/models-pytorch/sat2map.pth"
    assert addresses["cat2dog_cut_pretrained"] == f"{host}/CUT/pretrained_models.tar"
