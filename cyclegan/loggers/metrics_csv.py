"""metrics.csv: every logged figure of a run in one table, that survives a resume."""

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.loggers import POSITION


class MetricsCsv(Logger):
    """Appends a row for each logging step; the first column counts images seen.

    Lightning's own CSV logger deletes the file when a run is resumed. This one keeps it, but for the rows after
    the resumed position, which the run is about to write again.

    Args:
        run_dir: the table is `run_dir/metrics.csv`.
    """

    def __init__(self, run_dir: str) -> None:
        super().__init__()
        self._path = Path(run_dir) / "metrics.csv"
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        """What Lightning calls the logger."""
        return "metrics_csv"

    @property
    def version(self) -> str:
        """There is one table a run."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self._path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Leaves them to config.yaml, which stands in the same folder."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes one row; a figure that was never logged before gets a new column."""
        row: dict[str, Any] = {POSITION: step, **metrics}
        if self._columns is None:
            self.continue_from(int(step or 0) - 1)
        assert self._columns is not None
        new = [name for name in row if name not in self._columns]
        if new:
            rows = self._read()
            self._columns += new
            self._rewrite(rows)
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    @rank_zero_only
    def continue_from(self, position: int) -> None:
        """Drops the rows after a number of images seen: where the run stands, and will go on from."""
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._columns = []
            return
        kept = [row for row in self._read() if int(row[POSITION]) <= position]
        with self._path.open(newline="") as file:
            self._columns = next(csv.reader(file), [])
        self._rewrite(kept)

    def _read(self) -> list[dict[str, str]]:
        if not self._path.exists():
            return []
        with self._path.open(newline="") as file:
            return [row for row in csv.DictReader(file) if row.get(POSITION)]

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        assert self._columns is not None
        unfinished = self._path.with_suffix(".csv.part")
        with unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        unfinished.replace(self._path)
