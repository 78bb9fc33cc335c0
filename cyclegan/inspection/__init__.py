"""Inspection of data sets before training (`cyclegan-data check`), and resized copies (`cyclegan-data prepare`)."""
