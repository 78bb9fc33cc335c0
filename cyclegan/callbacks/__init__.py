"""Callbacks of training: validation, checkpoints, logging, sample grids, alarms, weight averages."""
