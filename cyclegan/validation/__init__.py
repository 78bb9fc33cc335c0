"""Measuring a translator on held-out pictures, under one stated protocol."""
