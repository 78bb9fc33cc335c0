"""Choose a training recipe for the time that is left, from the measurements of benchmarks/step.py.

Prints the batch size, the pairs a second of its step, and overrides for cyclegan-train: the fastest setting whose loss
is that of the authors' order within 10 %, at the smallest batch size within a tenth of the fastest. The learning rate
grows with the square root of the batch size, as suits Adam (Malladi et al. 2022, arXiv:2205.10287).

python benchmarks/gpu_recipe.py step.json
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

PRECISION = {"float32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed"}


def choose(rows: list[dict[str, Any]]) -> dict[str, Any]:
    loss = {row["batch"]: row["loss"] for row in rows if row["setting"] == "authors" and row["status"] == "ok"}
    fit = [
        row
        for row in rows
        if row["pairs_per_s"] and row["setting"] != "authors"
        if row["batch"] not in loss or math.isclose(row["loss"], loss[row["batch"]], rel_tol=0.1)
    ]
    fastest: float = max(row["pairs_per_s"] for row in fit)
    smallest = min(row["batch"] for row in fit if row["pairs_per_s"] > 0.9 * fastest)
    return max((row for row in fit if row["batch"] == smallest), key=lambda row: row["pairs_per_s"])


def overrides(row: dict[str, Any]) -> list[str]:
    precision, *options = row["setting"].split("+")
    compiled = "reduce-overhead" if "reduce-overhead" in options else "compile" in options
    return [
        f"data.batch_size={row['batch']}",
        f"trainer.precision={PRECISION[precision]}",
        f"model.optimizer.lr={2e-4 * math.sqrt(row['batch']):.2e}",
        f"model.optimizer.fused={'fused' in options}",
        f"model.channels_last={'channels_last' in options}",
        f"model.compile={compiled}",
    ]


if __name__ == "__main__":
    chosen = choose(json.loads(Path(sys.argv[1]).read_text())["rows"])
    print(chosen["batch"], chosen["pairs_per_s"], *overrides(chosen))
