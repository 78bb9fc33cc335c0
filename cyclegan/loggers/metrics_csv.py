"""metrics.csv: all logged metrics of a run in one table that survives a resume."""

import csv
import errno
import io
import logging
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from cyclegan.files import replacing
from cyclegan.loggers import POSITION

log = logging.getLogger(__name__)


class MetricsCsv(Logger):
    """Appends a row for each logging step; the first column is the number of images seen.

    Lightning's own CSV logger deletes the file when a run is resumed. This one keeps it, except for the rows after the
    resumed position, which the run logs again. Rows that cannot be written because the disk is full stay in memory and
    are written with the next ones.

    Args:
        run_dir: the table is `run_dir/metrics.csv`.
    """

    name = version = "metrics_csv"

    def __init__(self, run_dir: str) -> None:
        super().__init__()
        self._path = Path(run_dir) / "metrics.csv"
        self._columns: list[str] | None = None
        self._waiting: list[dict[str, Any]] = []
        self._has_warned = False

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml in the same folder holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write one row; a new metric gets a new column."""
        self.continue_from(int(step or 0) - 1)
        self._waiting.append({POSITION: step, **metrics})
        self._write_waiting()

    @rank_zero_only
    def save(self) -> None:
        """Flush every row to the disk, so that a loss of power cannot separate them from a checkpoint."""
        self._write_waiting()
        try:
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError:
            return  # there is nothing yet, or the next row will say why not

    def read(self) -> tuple[list[str], list[dict[str, str]]]:
        """Return columns and rows, without an incomplete last line; both are empty without a file."""
        if not self._path.exists():
            return [], []
        with self._path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        complete = text[: text.rfind("\n") + 1]
        reader = csv.DictReader(io.StringIO(complete, newline=""))
        return list(reader.fieldnames or []), [row for row in reader if row.get(POSITION)]

    @rank_zero_only
    def continue_from(self, position: int) -> None:
        """Drop the rows after a number of images seen, unless this process has logged rows already.

        A run that continues from 0 images is new, as no checkpoint is of 0 images: all rows are of an earlier attempt.
        """
        if self._columns is None:
            columns, rows = self.read()
            if columns:
                self._rewrite(columns, [row for row in rows if int(row[POSITION]) <= position and position > 0])
            self._columns = columns

    def _write_waiting(self) -> None:
        try:
            self._append(self._waiting)
        except OSError as error:
            if not self._has_warned:
                log.warning("metrics   %s: rows stay in memory and are written later: %s", self._path, error)
            self._has_warned = True
        else:
            self._waiting, self._has_warned = [], False

    def _append(self, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        columns = list(dict.fromkeys([*(self._columns or []), *(name for row in rows for name in row)]))
        if columns != self._columns or not self._path.exists():
            self._rewrite(columns, self.read()[1])
            self._columns = columns
        text = io.StringIO(newline="")
        csv.DictWriter(text, columns).writerows(rows)
        data = text.getvalue().encode()
        with self._path.open("ab", buffering=0) as file:
            end = file.tell()
            # A disk that is nearly full takes a part, and the next row would be appended to half a row.
            if file.write(data) != len(data):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def _rewrite(self, columns: list[str], rows: list[dict[str, str]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
