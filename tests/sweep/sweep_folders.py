"""Sweep folders with known values."""

from pathlib import Path

import yaml

from cyclegan.sweep.record import Job, State, write_job
from tests.report.run_folders import jpeg, write_table


def write_sweep(folder: Path, metric: str = "val/kid", value: str = "best") -> Path:
    """Write the sweep.yaml of a sweep without jobs, and return its folder."""
    folder.mkdir(parents=True)
    asked = {
        "command": "cyclegan-train -m <b>",
        "fixed": [],
        "swept": [],
        "objective": metric,
        "objective_value": value,
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(asked))
    return folder


def add_job(
    folder: Path, overrides: dict[str, str], kid: float, state: State = "done", message: str = "", name: str = ""
) -> Job:
    """Write a job of 3 epochs, with a KID of 1, `kid`, and `kid` + 0.1, at 100, 110 and 150 images a second."""
    run = folder / (name or ",".join(f"{key}={text}" for key, text in overrides.items()))
    (run / "samples").mkdir(parents=True)
    rows = []
    for epoch, (now, speed) in enumerate([(0.0, 0.0), (1.0, 100.0), (kid, 150.0), (kid + 0.1, 110.0)]):
        at = {"images_seen": 10 * epoch, "epoch": float(epoch)}
        if epoch:
            rows.append({**at, "train/adv_ab": now, "images_per_s": speed})
        rows.append({**at, "val/kid": now, "val/kid_ab": now, "val/psnr_ab": 20 - now, "val/change_ab": 0.5})
        (run / "samples" / f"epoch{epoch:04d}.jpg").write_bytes(jpeg("teal"))
    write_table(run / "metrics.csv", rows)
    (run / "report.html").touch()
    job = Job(run, overrides, state, 3900.0, kid if state == "done" else None, message)
    write_job(job)
    return job
