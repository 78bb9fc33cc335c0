"""report.html: the metrics, sample grids and settings of a run in one file."""
