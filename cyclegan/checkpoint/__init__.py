"""Checkpoints: plain files that carry their own configuration."""
