"""The code of docs/python.md runs, and leaves what the page says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan.train.command import train
from tests.tiny_run import SMALL_NETWORKS, composed

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
WORDS = ("features=random", "trainer.max_epochs=1", "data.source.size=64", "data.load_size=64", "data.crop_size=64")


@pytest.mark.usefixtures("quiet")
def test_the_python_page_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    train(composed(Path("runs/zebras"), Path("data/toy"), *SMALL_NETWORKS, *WORDS))
    names: dict[str, Any] = {}
    capsys.readouterr()
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, PAGE.name, "exec"), names)

    printed = re.findall(r"print\(.*\)  # (.*)", PAGE.read_text(encoding="utf-8"))
    assert len(printed) == 2
    screen = capsys.readouterr().out
    assert all(line.replace('"', "'") in screen for line in printed)
    assert np.array_equal(np.asarray(names["zebra"]), names["values"])
    assert names["horse"].size == (64, 64)
    assert names["large"].size == (96, 96)
    assert len(list(Path("fakes").iterdir())) == 2
    assert names["trainer"].current_epoch == 2

    image = Image.open(next(Path("data/toy/testA").iterdir()))
    exported, translator = names["cyclegan"].load("zebras.safetensors"), names["model"]
    seen = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        wanted = (translator.translate(seen, "A", "B")[0].permute(1, 2, 0) * 127.5 + 127.5).round().clamp(0, 255)
    assert np.abs(np.asarray(exported(image)).astype(int) - wanted.numpy()).max() <= 1
