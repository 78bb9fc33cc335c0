"""report.html: a run in one file to look at."""

from cyclegan.report.page import write_curve, write_report

__all__ = ["write_curve", "write_report"]
