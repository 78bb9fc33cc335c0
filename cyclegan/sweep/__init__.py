"""Sweeps: many runs from one command, their record on disk and their summary."""
