"""Images on disk, and which of them training sees when."""
