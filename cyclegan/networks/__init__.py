"""Generators and discriminators, and how their weights begin."""
