"""Measuring a translator on held-out images, under one stated protocol."""
