"""Coordinates and latents in, features at the coordinates out; the head turns them into values."""
