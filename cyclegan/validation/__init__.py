"""Metrics of a translator on held-out images, and the protocol they were measured under."""
