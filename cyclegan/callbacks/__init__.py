"""What watches a run: progress, sample grids, checkpoints, averages."""
