"""Where a run's figures go. Every logger counts images seen of each domain on its x-axis, under this name."""

POSITION = "images_seen"
