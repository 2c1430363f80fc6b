"""Measurements behind the documents; each runs by itself."""
