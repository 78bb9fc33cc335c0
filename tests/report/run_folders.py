"""Run folders with known values."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image


def jpeg(colour: str) -> bytes:
    """Encode a small image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (48, 32), colour).save(file, "JPEG")
    return file.getvalue()


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write metrics.csv, blank where a row has no such metric."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def write_run(folder: Path, epochs: int = 4, extra: dict[str, float] | None = None) -> Path:
    """Write a run with 10 images an epoch and a PSNR A→B of 15, 17, 19, 18, 18; add a row of `extra` metrics."""
    (folder / "samples").mkdir(parents=True)
    (folder / "validation").mkdir()
    rows = []
    for epoch in range(epochs + 1):
        at = {"images_seen": 10 * epoch, "epoch": float(epoch)}
        psnr = {0: 15.0, 1: 17.0, 2: 19.0}.get(epoch, 18.0)
        if epoch:
            rows.append({**at, "train/adv_ab": 1 / epoch, "train/adv_ba": 2 / epoch, "lr/generators": 2e-4})
        rows.append(
            {**at, "val/psnr_ab": psnr, "val/psnr_copied_ab": 14.2, "val/kid_ab": 0.2 - 0.03 * epoch}
            | {"val/kid_spread_ab": 0.01, "val/variety_ab": 0.5, "alarm/identity": float(epoch >= 3)}
        )
        (folder / "samples" / f"epoch{epoch:04d}.jpg").write_bytes(jpeg("tan"))
    write_table(folder / "metrics.csv", rows + ([{**at, **extra}] if extra else []))
    (folder / "config.yaml").write_text("name: toy\nseed: 3\n")
    (folder / "validation" / "protocol.json").write_text(json.dumps({"network": "inception", "selection": "on test"}))
    (folder / "environment.json").write_text(json.dumps({"Python": "3.12.1", "device": "cpu"}))
    return folder


EVIL = "</script><script>document.title = 'evil'</script><img src=x onerror='document.title = \"evil\"'>&{{ 7 * 7 }}"


def write_evil_run(folder: Path) -> Path:
    """Write a run whose texts and names contain code."""
    name = EVIL.replace("_", "-")
    metrics = {f"val/{name}": 1.0, f"train/adv_{name}": 2.0, f"lr/{name}": 3.0, f"alarm/{name}": 1.0}
    run = write_run(folder / "<b>run & 'co'", extra=metrics)
    for file in ("config.yaml", "environment.json", "validation/protocol.json"):
        (run / file).write_text(EVIL)
    return run
