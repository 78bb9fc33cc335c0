"""Generators, discriminators and weight initialisation."""
