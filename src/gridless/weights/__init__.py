"""Weights that ship, a folder each with its card, and how models are kept on disk."""
