"""Benchmarks that are run on rare machines, rehearsed."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]


@pytest.mark.slow
def test_everything_that_a_gpu_tells_is_rehearsed(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    out = tmp_path / "out"
    done = subprocess.run(
        [HERE / "benchmarks" / "gpu.sh", "--rehearse", out],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    log = (out / "log.txt").read_text()
    parts = [line.split(",")[0].split(":")[0] for line in log.splitlines() if line.startswith("== ")]
    assert [part.split(" for ")[0] for part in parts] == [
        "== environment", "== tests on CUDA", "== a step at 32²", "== end to end from image files", "== training",
        "== generators and translations", "== end",
    ]  # fmt: skip
    assert "Traceback" not in log

    rows = json.loads((out / "step.json").read_text())["rows"]
    assert {(row["batch"], row["setting"], row["status"]) for row in rows} == {
        (batch, setting, "ok") for batch in (1, 2) for setting in ("authors", "float32", "bf16+channels_last+fused")
    }
    for plain, *others in (rows[:3], rows[3:]):
        assert plain["setting"] == "authors"
        assert others[0]["loss"] == pytest.approx(plain["loss"], rel=1e-5)  # float32, after two updates
        assert others[1]["loss"] == pytest.approx(plain["loss"], rel=0.03)

    with tarfile.open(out / "training.tar") as training, tarfile.open(out / "translations.tar") as translations:
        assert {"./report.html", "./metrics.csv", "./config.yaml", "./samples/epoch0000.jpg"} <= set(
            training.getnames()
        )
        images = [name for name in translations.getnames() if name.endswith(".jpg")]
    assert sorted(Path(image).parent.name for image in images) == ["A2B"] * 12 + ["B2A"] * 12
    (file,) = out.glob("gen_ab-*.safetensors")
    weights = safetensors.load_file(file)
    assert {str(weight.dtype) for weight in weights.values()} == {"torch.float16"}
    assert weights["model.1.weight"].shape == (8, 3, 7, 7)
