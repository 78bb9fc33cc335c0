"""The objective of a run: one number from its metrics.csv."""

from pathlib import Path

from cyclegan.report.run_files import read_rows
from cyclegan.validation.catalogue import higher_is_better


def objective(run_dir: Path, metric: str, value: str) -> float | None:
    """Read the objective of a run, finished or not; None if the metric has not been measured.

    Args:
        run_dir: folder of the run.
        metric: a column of metrics.csv, such as `val/kid` or `train/cycle_a`.
        value: `best` or `last`; neither is that of the untrained networks, which no checkpoint holds.
    """
    rows = read_rows(run_dir / "metrics.csv")
    values = [row.metrics[metric] for row in rows if row.images and metric in row.metrics]
    if not values:
        return None
    return values[-1] if value == "last" else (max if is_maximised(metric) else min)(values)


def is_maximised(metric: str) -> bool:
    """Return whether a higher objective is better; lower is, for columns that the catalogue does not list."""
    return metric.startswith("val/") and higher_is_better(metric.removeprefix("val/"))
